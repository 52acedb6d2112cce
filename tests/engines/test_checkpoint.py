"""PyTorch checkpoints: told apart unopened, opened behind walls, exported to ONNX."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline_engines.convert.checkpoint import CheckpointOptions, export_checkpoint
from sightline_engines.convert.kinds import Kind, look
from sightline_engines.errors import ModelFileError
from sightline_engines.load import load_engine
from sightline_engines.progress import quiet
from sightline_engines.sandbox.plan import Limits
from sightline_engines.types import ModelSpec
from tests.conftest import ROOT, missing
from tests.engines import attacks, checkpoints
from tests.engines.test_sandbox import Target

SIZE = (64, 64)
LABELS = ("cat", "dog")
# What the malicious checkpoint runs: it reads what it is after from its own text.
ATTACK = """
{source}
import json
through = []
for name, attack in ATTACKS.items():
    try:
        attack({facts!r})
    except BaseException as error:
        print(name, repr(error))
    else:
        through.append(name)
print("::sightline progress 0.5 tried " + str(len(ATTACKS)) + ", through: " + " ".join(through))
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with ExitStack() as stack:
        yield Target(tmp_path_factory.mktemp("target"), stack)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, target: Target) -> Path:
    """Return a folder of checkpoints, made by a child."""
    if find_spec("torch") is None:
        missing("torch isn't installed (make torch)")
    folder = tmp_path_factory.mktemp("checkpoints")
    text = folder / "attack.txt"
    source = Path(attacks.__file__).read_text()
    text.write_text(ATTACK.format(source=source, facts=target.facts))
    subprocess.run(
        [sys.executable, checkpoints.__file__, folder, text], check=True, cwd=ROOT, timeout=60
    )
    return folder


def export(path: Path, folder: Path, **options: Any) -> ModelSpec:
    asked: dict[str, Any] = {"input_size_wh": SIZE, "labels": LABELS} | options
    return export_checkpoint(path, CheckpointOptions(**asked), folder, quiet)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("module.pt", Kind.MODULE),
        ("training.pth", Kind.MODULE),
        ("legacy.pt", Kind.MODULE),
        ("malicious.pt", Kind.MODULE),
        ("script.pt", Kind.TORCHSCRIPT),
    ],
)
def test_the_kind_is_told_without_opening(made: Path, name: str, kind: Kind) -> None:
    assert look(made / name).kind is kind


def test_what_a_pickle_asks_for_is_listed_in_old_and_new_ways(made: Path) -> None:
    assert "__builtin__.exec" in look(made / "malicious.pt").names
    assert "torch.nn.modules.linear.Linear" in look(made / "legacy.pt").names


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_is_followed(tmp_path: Path, protocol: int) -> None:
    twice = [Path("a"), Path("b"), checkpoints.Malicious("pass")]
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps(twice, protocol))
    names = look(path).names
    assert {name.rpartition(".")[2] for name in names} >= {"exec", "PosixPath"}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a PyTorch checkpoint"),
        (b"GIF89a", "not a PyTorch checkpoint"),
        (pickle.dumps({"a": 1}), "not a PyTorch checkpoint"),
        (b"PK\x03\x04 and no more", "not all of it"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "damaged"),
    ],
)
def test_what_is_no_checkpoint_is_refused_unopened(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=says):
        look(path)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, "has no data.pkl"),
        ({"m/data.pkl": b""}, "damaged"),
        ({"m/data.pkl": b"\x80\x02}."}, "no PyTorch model"),
        ({"m/data.pkl": b"\x80\x02cmodels.yolo\nModel\n."}, "YOLOv5's or YOLOv7's"),
        ({"m/data.pkl": b"\x80\x02" + b"X" + b"\xff" * 4}, "damaged"),
    ],
)
def test_archives_that_hold_no_model_are_refused_unopened(
    tmp_path: Path, members: dict[str, bytes], says: str
) -> None:
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(ModelFileError, match=says):
        look(path)


@pytest.mark.parametrize("name", ["weights.pt", "tensors.pt"])
def test_weights_alone_are_refused_with_a_way_out(made: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match=r"state_dict.*Export it"):
        export(made / name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_size_is_needed_where_the_file_has_none(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="name the input size"):
        export(made / "module.pt", tmp_path, input_size_wh=None)


@pytest.mark.parametrize(
    ("package", "says"),
    [
        ("torch", r"sightline-engines\[torch\]"),
        ("ultralytics", "pip install --no-deps ultralytics"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, says: str
) -> None:
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02cultralytics.nn.tasks\nDetectionModel\n.")
    monkeypatch.setattr(
        "sightline_engines.convert.checkpoint.find_spec",
        lambda name: None if name == package else object(),
    )
    with pytest.raises(ModelFileError, match=says):
        export(path, tmp_path)


@pytest.mark.parametrize("name", ["script.pt", "training.pth"])
def test_a_module_becomes_a_model_that_runs_at_any_batch(
    made: Path, tmp_path: Path, name: str
) -> None:
    spec = export(made / name, tmp_path, licence="MIT")
    assert (spec.family, spec.labels, spec.input_size_wh) == ("yolov8", LABELS, SIZE)
    assert (spec.licence, spec.static_batch) == ("MIT", None)
    assert [path.name for path in tmp_path.iterdir()] == [f"{Path(name).stem}.onnx"]
    engine = load_engine(spec, "onnxruntime", device="cpu", threads=1)
    try:
        pictures = np.random.default_rng(1).integers(0, 255, (3, 64, 64, 3), np.uint8)
        (many,) = engine.infer(pictures)
        (one,) = engine.infer(pictures[1:2])
    finally:
        engine.close()
    assert many.shape == (3, 6, 84)
    np.testing.assert_allclose(many[1:2], one, atol=1e-5)


def test_an_ultralytics_checkpoint_becomes_a_model(made: Path, tmp_path: Path) -> None:
    if not (made / "yolo.pt").exists():
        missing("ultralytics isn't installed")
    assert look(made / "yolo.pt").kind is Kind.ULTRALYTICS
    told: list[str] = []
    options = CheckpointOptions(input_size_wh=(320, 320))
    spec = export_checkpoint(
        made / "yolo.pt", options, tmp_path, lambda _, doing: told.append(doing)
    )
    assert (spec.family, spec.input_size_wh, spec.static_batch) == ("yolov8", (320, 320), None)
    assert spec.labels == tuple(f"thing{number}" for number in range(80))
    assert spec.licence.startswith("AGPL-3.0")
    assert told[0] == "Looking at the checkpoint"
    assert "Exporting to ONNX" in told
    engine = load_engine(spec, "onnxruntime", device="cpu", threads=1)
    try:
        assert engine.infer(np.zeros((2, 320, 320, 3), np.uint8))[0].shape == (2, 84, 2100)
    finally:
        engine.close()


def test_a_malicious_checkpoint_reaches_nothing(made: Path, tmp_path: Path, target: Target) -> None:
    target.reached()  # what another test left
    told: list[str] = []
    options = CheckpointOptions(input_size_wh=SIZE)
    with pytest.raises(
        ModelFileError, match=r"malicious.pt could not be exported: .* holds a dict"
    ):
        export_checkpoint(
            made / "malicious.pt", options, tmp_path, lambda _, doing: told.append(doing)
        )
    time.sleep(1.2)  # longer than the one that outlives its process waits
    assert f"tried {len(attacks.ATTACKS)}, through:" in [line.strip() for line in told]
    assert target.reached() == []
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_never_ends_is_ended(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"processor time|longer than"):
        export(made / "endless.pt", tmp_path, limits=Limits(cpu_s=4, wall_s=8))
    assert list(tmp_path.iterdir()) == []


def test_a_head_that_is_not_supported_leaves_no_file(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="none of the supported heads"):
        export(made / "other_head.pt", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_over_the_limit_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="the limit is 1000"):
        export(made / "module.pt", tmp_path, max_bytes=1000)
