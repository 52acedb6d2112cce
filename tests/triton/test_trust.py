"""What users say stays within the model repository, and stays data there."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from sightline_engines.assets import shipped_model
from sightline_engines.errors import DeployError, SightlineError
from sightline_engines.recognise import recognise
from sightline_engines.triton.config import TritonConfig, read_config
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.repository import Repository, RepositoryError
from sightline_engines.triton.vendor import vendored
from tests.triton.hostile import HOSTILE_NAMES


def tree(folder: Path) -> dict[str, bytes | str]:
    """Return everything below a folder, with what is in it."""
    return {
        str(path.relative_to(folder)): (
            str(path.readlink())
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else ""
        )
        for path in folder.rglob("*")
    }


def shown(name: str) -> str:
    """Return a test's id of a name."""
    return ascii(name)[:40]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return an empty repository with a model's folder beside it, outside."""
    (tmp_path / "outside" / "1").mkdir(parents=True)
    (tmp_path / "outside" / "config.pbtxt").write_text('backend: "identity"')
    (tmp_path / "repository").mkdir()
    return Repository(tmp_path / "repository")


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=shown)
def test_no_name_leads_out_of_the_repository(repository: Repository, name: str) -> None:
    before = tree(repository.folder.parent)
    for act in (
        lambda: repository.folder_of(name),
        lambda: repository.place(name, {"config.pbtxt": "", "1/model.onnx": b""}),
        lambda: repository.put(name, "config.pbtxt", "x"),
        lambda: repository.remove(name),
    ):
        with pytest.raises(RepositoryError) as refused:
            act()
        assert len(refused.value.message) < 500
    after = tree(repository.folder.parent)
    assert {path for path in after if "outside" in path} == {p for p in before if "outside" in p}
    assert not [path for path in after if path.endswith((".onnx", "repository/config.pbtxt"))]


@pytest.mark.parametrize("target", ["../outside", "/etc"])
def test_a_link_in_the_repository_is_not_followed(repository: Repository, target: str) -> None:
    (repository.folder / "link").symlink_to(target)
    before = tree(repository.folder.parent)
    for act in (
        lambda: repository.folder_of("link"),
        lambda: repository.put("link", "config.pbtxt", "x"),
        lambda: repository.remove("link"),
    ):
        with pytest.raises(RepositoryError):
            act()
    outside = {path: text for path, text in before.items() if not path.startswith("repository/.")}
    assert outside.items() <= tree(repository.folder.parent).items()


HOSTILE_LABELS = (
    '"}] backend: "python',
    "'; import os; os.system('touch /tmp/sightline-was-here')",
    "a\nbackend: 'python'",
    '\\", \\u0000',
    "{{ label }} %s ${HOME} `id`",
    "</script><script>alert(1)</script>",
)


@pytest.fixture
def deployments(repository: Repository) -> Deployments:
    """Return the deployments of an empty repository."""
    return Deployments(repository)


def test_labels_stay_data(deployments: Deployments) -> None:
    spec = recognise(shipped_model())
    labels = tuple(HOSTILE_LABELS[n % len(HOSTILE_LABELS)] for n in range(len(spec.labels)))
    made = deployments.prepare(replace(spec, name="cam", labels=labels), TritonConfig())
    folder = deployments.repository.folder
    kept = json.loads((folder / made.postprocess / "1" / "spec.json").read_text())
    assert tuple(kept["labels"]) == labels
    check_python(folder)


@pytest.mark.parametrize("name", ['"} ]\nbackend: "python', "PICTURE_FACTS", "a" * 10_000, "../x"])
def test_a_tensor_named_by_an_upload_stays_data(
    deployments: Deployments, tmp_path: Path, name: str
) -> None:
    file = onnx.load(shipped_model())
    (output,) = file.graph.output
    for node in file.graph.node:
        node.output[:] = [name if one == output.name else one for one in node.output]
    output.name = name
    (tmp_path / "cam.onnx").write_bytes(file.SerializeToString())
    try:
        made = deployments.prepare(recognise(tmp_path / "cam.onnx"), TritonConfig())
    except SightlineError:
        assert not deployments.all()
    else:
        deployments.point(made)
    check_python(deployments.repository.folder)


@pytest.mark.parametrize("model", ["cam_tensors", "cam__1__preprocess", "cam__1__detector", "a__b"])
def test_a_model_cannot_take_the_names_of_anothers_parts(
    deployments: Deployments, model: str
) -> None:
    spec = replace(recognise(shipped_model()), name="cam")
    made = deployments.prepare(spec, TritonConfig())
    deployments.point(made)
    before = tree(deployments.repository.folder)
    with pytest.raises(DeployError, match="Rename the model"):
        deployments.prepare(replace(spec, name=model), TritonConfig())
    with pytest.raises(DeployError):
        deployments.forget(model)
    assert tree(deployments.repository.folder) == before


def test_a_file_named_like_a_program_becomes_a_models_data(
    deployments: Deployments, tmp_path: Path
) -> None:
    for name in ("model.py.onnx", "config.pbtxt.onnx", "__init__.onnx"):
        shutil.copy(shipped_model(), tmp_path / name)
        made = deployments.prepare(replace(recognise(tmp_path / name), name="cam"), TritonConfig())
        kept = deployments.repository.folder / made.detector
        assert {path.name for path in kept.rglob("*") if path.is_file()} == {
            *("config.pbtxt", "deployment.json", "model.onnx")
        }
    check_python(deployments.repository.folder)


def programs(folder: Path) -> list[Path]:
    """Return the Python files below a folder."""
    return [path for path in folder.rglob("*.py") if path.is_file()]


def check_python(folder: Path) -> None:
    """Hold every Python file, backend and file name of a repository to those that are ours."""
    ours = set(vendored().values())
    for path in programs(folder):
        assert path.read_text() in ours, path
        assert not path.is_symlink()
    for path in folder.glob("*/config.pbtxt"):
        config = read_config(path.read_text())
        python = path.parent.name.rpartition("__")[2] in ("preprocess", "postprocess")
        assert (config.backend == "python") is python, path
        assert bool(programs(path.parent)) is python, path
        assert config.default_model_filename in ("", "model.onnx", "model.plan")
        assert set(config.parameters) == {
            f"sightline_{name}" for name in ("model", "number", "part", "sha256")
        }
