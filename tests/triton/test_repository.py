"""The model repository on disk, and deployments as files: whole or not at all, whatever happens."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from sightline_engines.assets import shipped_model
from sightline_engines.errors import DeployError, SightlineError
from sightline_engines.passport import Passport
from sightline_engines.recognise import recognise
from sightline_engines.triton import deployments as module
from sightline_engines.triton.classifier import ClassifierSpec
from sightline_engines.triton.config import TritonConfig, read_config
from sightline_engines.triton.deployment import LONGEST_NAME, Deployment, part_of
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.read_config import parameters_of, tensors_of
from sightline_engines.triton.repository import Contents, Repository, RepositoryError
from sightline_engines.triton.steps.names import RESERVED
from sightline_engines.types import ModelSpec
from tests.conftest import ROOT
from tests.triton.tiny_classifier import CLASSES, SIDE, tiny_classifier


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def deployments(repository: Repository) -> Deployments:
    return Deployments(repository)


@pytest.fixture
def shades(tmp_path: Path) -> ClassifierSpec:
    """Return a classifier, the quickest model to deploy."""
    path = tmp_path / "shades.onnx"
    path.write_bytes(tiny_classifier())
    return ClassifierSpec("shades", path, (SIDE, SIDE), CLASSES, top_k=2)


@pytest.fixture(scope="module")
def webcam() -> ModelSpec:
    return replace(recognise(shipped_model()), name="webcam")


def config_of(repository: Repository, name: str) -> Any:
    return read_config(repository.read(name, "config.pbtxt") or "")


def test_a_folder_is_there_whole_and_for_everybody_to_read(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "artefact").write_bytes(b"weights")
    (tmp_path / "artefact").chmod(0o600)
    files: Contents = {
        "config.pbtxt": "a",
        "1/model.onnx": tmp_path / "artefact",
        "1/deep/x": b"\0",
    }
    with repository.locked():
        folder = repository.place("m", files)
    assert (folder / "1" / "model.onnx").read_bytes() == b"weights"
    for path in (repository.folder, folder, *folder.rglob("*")):
        wanted = 0o755 if path.is_dir() else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == wanted
    assert repository.names() == ("m",)
    assert repository.read("m", "config.pbtxt") == "a"
    assert repository.read("m", "no such file") is None
    with pytest.raises(RepositoryError, match="has a model 'm' already"):
        repository.place("m", {})


def test_what_can_not_be_written_leaves_nothing(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="can't be written"):
        repository.place("m", {"config.pbtxt": "a", "1/model.onnx": tmp_path / "missing"})
    assert repository.names() == ()
    assert not list(repository.folder.glob(".incoming-*"))


def test_a_repository_that_can_not_be_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(RepositoryError, match="can't be written"),
        Repository(tmp_path / "file" / "in").locked(),
    ):
        pass


def test_leftovers_are_swept_and_other_folders_are_not(repository: Repository) -> None:
    (repository.folder / ".incoming-1").mkdir(parents=True)
    (repository.folder / ".incoming-2").touch()
    (repository.folder / "theirs").mkdir()
    with repository.locked():
        pass
    assert [path.name for path in repository.folder.iterdir() if path.is_dir()] == ["theirs"]
    assert not (repository.folder / ".incoming-2").exists()


@pytest.mark.parametrize("name", ["shades__9__classifier", "other__1__preprocess", "else"])
@pytest.mark.parametrize("to", ["outside", "nowhere", "itself"])
def test_a_link_that_leads_out_is_no_model_and_stops_nothing(
    deployments: Deployments, shades: ClassifierSpec, tmp_path: Path, name: str, to: str
) -> None:
    made = deployments.prepare(shades, TritonConfig())
    deployments.prepare(replace(shades, name="other"), TritonConfig())
    (tmp_path / "outside").mkdir()
    link = deployments.repository.folder / name
    shutil.rmtree(link, ignore_errors=True)
    link.symlink_to(link if to == "itself" else tmp_path / to)
    assert deployments.all("shades") == (made,)
    assert made in deployments.all()
    assert deployments.all("other") == () or name != "other__1__preprocess"
    assert deployments.prepare(shades, TritonConfig()).number == 2
    assert (tmp_path / "outside").is_dir()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="needs another user")
def test_a_repository_that_may_only_be_read_is_told_of(
    deployments: Deployments, shades: ClassifierSpec, tmp_path: Path
) -> None:
    made = deployments.prepare(shades, TritonConfig())
    deployments.point(made)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("pytest-", "popen-")) or folder == tmp_path:
            folder.chmod(0o755)  # as far as there are folders of this run
    changes: tuple[Callable[[], object], ...] = (
        lambda: deployments.repository.next_number("shades"),
        lambda: deployments.repository.remove("shades"),
        lambda: deployments.repository.place("m", {"config.pbtxt": ""}),
        lambda: deployments.repository.put("shades", "config.pbtxt", ""),
        lambda: deployments.prepare(shades, TritonConfig()),
        lambda: deployments.forget("shades"),
    )
    os.seteuid(65534)
    try:
        for change in changes:
            with pytest.raises(SightlineError, match="can't be"):
                change()
        assert deployments.active("shades") == made
    finally:
        os.seteuid(0)


def test_a_full_disk_is_told_of_and_room_can_be_made(
    deployments: Deployments, shades: ClassifierSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployments.point(deployments.prepare(shades, TritonConfig()))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("sightline_engines.triton.repository.write", full)
        disk.setattr("os.mkdir", full)
        with pytest.raises(RepositoryError, match=r"No space left.*the disk"):
            deployments.prepare(shades, TritonConfig())
        with pytest.raises(RepositoryError, match=r"No space left"):
            deployments.repository.next_number("shades")
        with pytest.raises(RepositoryError, match=r"No space left"):
            deployments.repository.place("m", {"config.pbtxt": ""})
        deployments.forget("shades")
    assert deployments.repository.names() == ()
    assert not list(deployments.repository.folder.glob(".incoming-*"))


def test_who_holds_the_repository_too_long_is_not_waited_for(repository: Repository) -> None:
    with (
        repository.locked(),
        pytest.raises(DeployError, match="Wait until it is done"),
        Repository(repository.folder).locked(timeout_s=0.1),
    ):
        pass


def test_a_copy_on_its_way_is_not_swept_nor_holds_anybody_up(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "plan").write_bytes(b"large")
    with repository.staged(tmp_path / "plan") as copy:
        with Repository(repository.folder).locked():
            assert copy.read_bytes() == b"large"
        with repository.locked():
            folder = repository.place("m", {"1/model.plan": copy})
    assert (folder / "1" / "model.plan").read_bytes() == b"large"
    assert stat.S_IMODE((folder / "1" / "model.plan").stat().st_mode) == 0o644
    assert not list(repository.folder.glob(".incoming-*"))


def test_a_leftover_that_can_not_be_swept_is_told_of(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (repository.folder / ".incoming-1").mkdir(parents=True)

    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("shutil.rmtree", denied)
    with repository.locked():
        pass
    assert ".incoming-1 is left" in caplog.text
    assert "Permission denied. Remove it by hand." in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="rights are another matter there")
def test_a_strict_umask_leaves_nothing_that_triton_can_not_read(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    before = os.umask(0o077)
    try:
        for _ in range(2):
            made = deployments.prepare(shades, TritonConfig())
            # As an update of ours that was killed before it could open the folder.
            if deployments.active("shades"):
                (deployments.repository.folder / "shades" / str(made.number)).mkdir()
            deployments.point(made)
    finally:
        os.umask(before)
    for path in (deployments.repository.folder, *deployments.repository.folder.rglob("*")):
        if not path.name.startswith(".sightline"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


@pytest.mark.parametrize(
    "place", [("onnx", "network_of"), ("plan", "network_of"), ("plan", "staged")], ids="-".join
)
def test_what_is_deployed_is_what_its_digest_says(
    deployments: Deployments,
    webcam: ModelSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[str, str],
) -> None:
    kind, when = place
    path = tmp_path / f"model.{kind}"
    path.write_bytes(webcam.path.read_bytes() if kind == "onnx" else b"a plan")
    passport = Passport("X", "9.0", "10.3.0", "5", webcam.sha256, "", 1, 8, 8, (416, 416))
    spec = replace(webcam, path=path, sha256="", passport=passport if kind == "plan" else None)
    whole, there = path.read_bytes(), Repository if when == "staged" else module
    real = getattr(there, when)

    def changed(*given: Any) -> Any:
        done = real(*given)
        path.write_bytes(whole + b"\0")
        return done

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(there, when, changed)
        with pytest.raises(DeployError, match="was changed while it was deployed"):
            deployments.prepare(spec, TritonConfig(), built_from=webcam.path)
    assert deployments.repository.names() == ()
    path.write_bytes(whole)
    made = deployments.prepare(spec, TritonConfig(), built_from=webcam.path)
    assert made.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_numbers_are_never_given_twice(repository: Repository) -> None:
    with repository.locked():
        assert [repository.next_number("a") for _ in range(3)] == [1, 2, 3]
        assert repository.next_number("b", above=41) == 42
        (repository.folder / ".sightline.json").write_text("damaged")
        assert repository.next_number("a", above=7) == 8


def test_a_deployment_comes_back_from_its_file(deployments: Deployments, webcam: ModelSpec) -> None:
    made = deployments.prepare(webcam, TritonConfig(instance_count=2), max_batch=4, artefact_id=5)
    assert deployments.all() == (made,)
    assert Deployment.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert (made.model, made.number, made.kind, made.artefact_id) == ("webcam", 1, "detector", 5)
    assert made.sha256 == webcam.sha256
    assert made.parts == ("webcam__1__preprocess", "webcam__1__detector", "webcam__1__postprocess")
    assert (made.pictures, made.tensors) == ("webcam", "webcam_tensors")
    assert [part_of(name) for name in made.parts[:1]] == [("webcam", 1, "preprocess")]
    assert deployments.active("webcam") is None


def test_the_stable_names_lead_to_a_deployment_with_its_number(
    deployments: Deployments, webcam: ModelSpec
) -> None:
    deployments.prepare(webcam, TritonConfig())
    made = deployments.prepare(webcam, TritonConfig(), max_batch=4)
    deployments.point(made)
    assert deployments.active("webcam") == made
    pictures = config_of(deployments.repository, "webcam")
    assert pictures.platform == "ensemble"
    assert list(pictures.version_policy.specific.versions) == [2]
    assert [step.model_name for step in pictures.ensemble_scheduling.step] == list(made.parts)
    (given,), (answered,) = tensors_of(pictures.input), tensors_of(pictures.output)
    assert (given.name, given.datatype, given.dims) == ("IMAGE_BYTES", "BYTES", (1,))
    assert (answered.name, answered.datatype, answered.dims) == ("OUTPUT_JSON", "BYTES", (1,))
    tensors = config_of(deployments.repository, "webcam_tensors")
    network = config_of(deployments.repository, made.detector)
    assert tensors_of(tensors.input) == tensors_of(network.input)
    assert tensors_of(tensors.output) == tensors_of(network.output)
    assert (pictures.max_batch_size, tensors.max_batch_size, network.max_batch_size) == (4, 4, 4)
    for name in (*made.stable, *made.parts):
        told = parameters_of(config_of(deployments.repository, name))
        assert told["sightline_model"] == "webcam"
        assert told["sightline_number"] == "2"
        assert told["sightline_sha256"] == webcam.sha256
        assert told["sightline_part"]


def test_urgent_requests_go_first_at_every_part(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    made = deployments.prepare(shades, TritonConfig(priority_levels=3))
    for name in made.parts:
        batching = config_of(deployments.repository, name).dynamic_batching
        assert (batching.priority_levels, batching.default_priority_level) == (3, 2)


def test_pictures_that_wait_are_counted_where_nothing_is_set(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    made = deployments.prepare(shades, TritonConfig())
    policy = config_of(deployments.repository, made.preprocess).dynamic_batching
    assert policy.default_queue_policy.max_queue_size == 256
    assert policy.default_queue_policy.default_timeout_microseconds > 0


def test_a_queue_limit_holds_where_pictures_come_in_and_at_the_network(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    made = deployments.prepare(shades, TritonConfig(max_queue_size=5, step_instances=3))
    first, network, last = (config_of(deployments.repository, name) for name in made.parts)
    for config, most in ((first, 5), (network, 5), (last, 0)):
        assert config.dynamic_batching.default_queue_policy.max_queue_size == most
    assert [config.instance_group[0].count for config in (first, network, last)] == [3, 1, 3]


def test_rolling_back_goes_to_the_newest_that_is_kept(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    made = [deployments.prepare(shades, TritonConfig()) for _ in range(5)]
    assert [one.number for one in deployments.all("shades")] == [5, 4, 3, 2, 1]
    deployments.point(made[1])
    assert deployments.previous("shades") == made[0]
    assert [one.number for one in deployments.prune("shades", keep=2)] == [3]  # 1: to roll back to
    deployments.discard(made[0])
    assert deployments.previous("shades") is None
    deployments.point(made[4])
    assert deployments.previous("shades") == made[3]
    deployments.discard(made[3])
    assert deployments.previous("shades") == made[1]
    with pytest.raises(DeployError, match="Deployment 5 of 'shades' serves"):
        deployments.discard(made[4])
    with pytest.raises(DeployError, match="Deployment 1 of 'shades' is gone"):
        deployments.point(made[0])
    names = deployments.repository.names()
    assert {part[1] for part in map(part_of, names) if part} == {2, 5}


def test_a_rollback_never_leads_to_what_was_rolled_back(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    first, second = (deployments.prepare(shades, TritonConfig()) for _ in range(2))
    deployments.point(second)
    deployments.point(first)
    third = deployments.prepare(shades, TritonConfig())
    deployments.point(third)
    assert deployments.previous("shades") == first
    assert deployments.prune("shades", keep=1) == (second,)
    assert deployments.previous("shades") == first
    deployments.point(first)
    assert deployments.previous("shades") is None


def altered(deployments: Deployments, made: Deployment, text: str | None) -> None:
    """Write something else, or by default a newer version's fields, as a deployment's file."""
    file = deployments.repository.folder / made.detector / "deployment.json"
    if text is None:
        told = json.loads(file.read_text())
        told["of_tomorrow"] = told["config"]["of_tomorrow"] = 1
        told["config"]["instance_count"] = "as many as fit"
        text = json.dumps(told)
    file.write_text(text)


def test_a_deployment_of_a_newer_version_is_read_as_far_as_it_is_known(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    made = deployments.prepare(shades, TritonConfig())
    deployments.point(made)
    altered(deployments, made, None)
    assert deployments.active("shades") == made
    assert deployments.prepare(shades, TritonConfig()).number == 2
    assert deployments.active("shades") == made


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"number": 1}', "\x00"])
def test_a_deployment_that_can_not_be_read_is_never_removed(
    deployments: Deployments, shades: ClassifierSpec, text: str
) -> None:
    made, other = (deployments.prepare(shades, TritonConfig()) for _ in range(2))
    deployments.point(made)
    altered(deployments, made, text)
    altered(deployments, other, text)
    before = deployments.repository.names()
    with pytest.raises(DeployError, match=r"Deployment 1 of 'shades' serves.*another version"):
        deployments.prepare(shades, TritonConfig())
    deployments.prune("shades", keep=0)
    assert deployments.repository.names() == before
    assert deployments.repository.folders("shades") == ("1",)
    deployments.forget("shades")
    assert deployments.repository.names() == ()
    assert deployments.prepare(shades, TritonConfig()).number == 3


def test_a_deployment_that_can_not_be_read_stays_when_another_serves(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    first, second = (deployments.prepare(shades, TritonConfig()) for _ in range(2))
    deployments.point(second)
    altered(deployments, first, "")
    third = deployments.prepare(shades, TritonConfig())
    deployments.discard(third)
    assert set(first.parts) < set(deployments.repository.names())
    assert deployments.previous("shades") is None


def test_what_is_forgotten_is_gone_and_its_numbers_go_on(
    deployments: Deployments, shades: ClassifierSpec, webcam: ModelSpec
) -> None:
    other = deployments.prepare(webcam, TritonConfig())
    deployments.point(deployments.prepare(shades, TritonConfig()))
    deployments.forget("shades")
    deployments.forget("never-there")
    assert deployments.all() == (other,)
    assert deployments.repository.names() == tuple(sorted(other.parts))
    assert deployments.prepare(shades, TritonConfig()).number == 2


def test_stable_names_that_a_kill_set_apart_are_brought_together(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    first, second = (deployments.prepare(shades, TritonConfig()) for _ in range(2))
    deployments.point(second)
    ahead = deployments.repository.read("shades_tensors", "config.pbtxt")
    deployments.point(first)
    deployments.repository.put("shades_tensors", "config.pbtxt", ahead or "")
    assert deployments.active("shades") == first
    deployments.prepare(shades, TritonConfig())
    told = parameters_of(config_of(deployments.repository, "shades_tensors"))
    assert told["sightline_number"] == "1"
    deployments.discard(second)


@pytest.mark.parametrize("name", ["shades", "shades_tensors"])
def test_a_model_that_somebody_else_put_there_is_left_alone(
    deployments: Deployments, shades: ClassifierSpec, name: str
) -> None:
    deployments.repository.place(name, {"config.pbtxt": 'backend: "python"', "1/model.py": "x"})
    with pytest.raises(DeployError, match=f"'{name}' that Sightline didn't make"):
        deployments.prepare(shades, TritonConfig())
    with pytest.raises(DeployError, match="didn't make"):
        deployments.forget("shades")
    assert deployments.repository.names() == (name,)


@pytest.mark.parametrize("name", ["a__1__detector", "a_tensors", "a__b", "a" * 112])
def test_a_name_that_means_a_part_is_refused(
    deployments: Deployments, shades: ClassifierSpec, name: str
) -> None:
    with pytest.raises(DeployError, match="Rename the model"):
        deployments.prepare(replace(shades, name=name), TritonConfig())
    assert deployments.repository.names() == ()


def test_the_longest_name_leaves_room_for_its_parts(
    deployments: Deployments, shades: ClassifierSpec
) -> None:
    long = replace(shades, name="a" * LONGEST_NAME)
    deployments.repository.folder_of(f"{long.name}__999999999__postprocess")
    deployments.point(deployments.prepare(long, TritonConfig()))


@pytest.mark.parametrize("name", [*sorted(RESERVED), "sightline_bgr"])
def test_an_output_named_like_a_tensor_of_the_steps_is_refused(
    deployments: Deployments, shades: ClassifierSpec, name: str
) -> None:
    model = onnx.load(shades.path)
    model.graph.node[-1].output[0] = model.graph.output[0].name = name
    onnx.save(model, shades.path)
    with pytest.raises(DeployError, match=f"its output '{name}'.*Rename the output"):
        deployments.prepare(shades, TritonConfig())
    assert deployments.repository.names() == ()


@pytest.mark.parametrize(
    ("altered", "config", "said"),
    [
        ({"static_batch": 4}, TritonConfig(), "exactly 4 pictures"),
        ({"sha256": "0" * 64}, TritonConfig(), "SHA-256 differs"),
        ({"path": Path("m.xml")}, TritonConfig(), "accelerator 'openvino'"),
        ({"path": Path("gone.onnx")}, TritonConfig(), "can't be read"),
        ({"path": Path("m.plan")}, TritonConfig(), "no passport"),
        ({}, TritonConfig(platform="tensorrt_plan"), "takes a TensorRT plan"),
        ({}, TritonConfig(versions=(2,)), "has version 1 alone"),
        ({}, TritonConfig(preferred_batch_sizes=(64,)), "batches of 8 at most"),
    ],
)
def test_what_triton_can_not_take_is_refused_with_the_way_out(
    deployments: Deployments,
    webcam: ModelSpec,
    altered: dict[str, Any],
    config: TritonConfig,
    said: str,
) -> None:
    with pytest.raises(DeployError, match=said):
        deployments.prepare(replace(webcam, **altered), config)
    assert deployments.repository.names() == ()


@pytest.mark.parametrize("most", [0, -1, 10_000])
def test_a_batch_that_makes_no_sense_is_refused(
    deployments: Deployments, webcam: ModelSpec, most: int
) -> None:
    with pytest.raises(DeployError, match="max_batch must be from 1 to 1024"):
        deployments.prepare(webcam, TritonConfig(), max_batch=most)


def run(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.triton.killed", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Triton's repositories are changed on Unix")
def test_a_kill_at_any_point_leaves_what_served_in_place(
    tmp_path: Path, shades: ClassifierSpec
) -> None:
    out, errors = run(tmp_path / "r", shades.path, "kill").communicate(timeout=120)
    assert errors == ""
    seen = json.loads(out)
    assert seen["problems"] == []
    assert set(seen["kills"]) == {"deploy", "point", "back", "discard", "forget"}
    assert min(seen["kills"].values()) > 8
    assert seen["left"] == []
    assert len(seen["kept"]) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Triton's repositories are changed on Unix")
def test_two_processes_at_once_do_not_get_in_each_others_way(
    tmp_path: Path, shades: ClassifierSpec
) -> None:
    both = [run(tmp_path / "r", shades.path, "4") for _ in range(2)]
    told = [one.communicate(timeout=120) for one in both]
    assert [errors for _, errors in told] == ["", ""]
    numbers = [number for out, _ in told for number in json.loads(out)]
    assert sorted(numbers) == list(range(1, 9))
    deployments = Deployments(Repository(tmp_path / "r"))
    assert [one.number for one in deployments.all("shades")] == list(range(8, 0, -1))
    active = deployments.active("shades")
    assert active is not None
    tensors = parameters_of(config_of(deployments.repository, "shades_tensors"))
    assert tensors["sightline_number"] == str(active.number)
