"""Publishing: two files with their sidecars, and what an interruption leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sightline_engines.assets import SHIPPED_FILES, shipped_model
from sightline_engines.errors import ModelFileError
from sightline_engines.recognise import recognise
from sightline_engines.types import ModelSpec
from sightline_training import publish as publishing
from sightline_training.publish import VERSION, publish

CONTENT = shipped_model().read_bytes()
FIELD = b"\x32\x00"  # an empty description at the end: the same graph, other bytes


class Interrupted(BaseException):
    """The process ends here."""


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an exported file, which becomes INT8 without being calibrated."""

    def quantised(source: ModelSpec, _data: Path, folder: Path) -> ModelSpec:
        folder.mkdir()
        path = folder / "model.onnx"
        path.write_bytes(source.path.read_bytes() + FIELD)
        return replace(source, path=path, notes=("for OpenVINO",))

    monkeypatch.setattr(publishing, "quantise", quantised)
    path = tmp_path / "latest.onnx"
    path.write_bytes(CONTENT)
    return path


def test_both_files_have_sidecars_of_their_own(exported: Path, tmp_path: Path) -> None:
    assets = tmp_path / "package" / "assets"
    paths = publish(exported, tmp_path, assets, 0.33)
    assert [path.stem for path in paths] == list(SHIPPED_FILES.values())
    assert [path.read_bytes() for path in paths] == [CONTENT, CONTENT + FIELD]
    for path, precision in zip(paths, SHIPPED_FILES, strict=True):
        spec = recognise(path)
        assert (spec.name, spec.precision, spec.version) == (path.stem, precision, VERSION)
        assert spec.postprocess.conf == 0.33
        assert spec.notes == (("for OpenVINO",) if precision == "int8" else ())
    assert sorted(p.suffix for p in assets.iterdir()) == [".json", ".json", ".onnx", ".onnx"]


@pytest.mark.parametrize("before", ["nothing", "the same", "another"])
@pytest.mark.parametrize("step", range(5))
def test_an_interruption_leaves_nothing_that_runs_with_what_belongs_to_another(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, step: int
) -> None:
    assets = tmp_path / "assets"
    if before != "nothing":
        exported.write_bytes(CONTENT + FIELD * 2 * (before == "another"))
        publish(exported, tmp_path, assets, 0.3)
    exported.write_bytes(CONTENT)
    whole = publishing._replace
    done: list[Path] = []

    def until(path: Path, content: bytes) -> None:
        if len(done) == step:
            raise Interrupted
        done.append(path)
        whole(path, content)

    monkeypatch.setattr(publishing, "_replace", until)
    try:
        publish(exported, tmp_path, assets, 0.6)
    except Interrupted:
        assert step < 4
    running: dict[str, bytes] = {}
    for precision, name in SHIPPED_FILES.items():
        path = assets / f"{name}.onnx"
        try:
            spec = recognise(path)
        except ModelFileError:
            continue
        running[precision] = path.read_bytes()
        told = json.loads(path.with_suffix(".json").read_text("utf-8"))
        assert told["sha256"] == spec.sha256
    if len(running) == 2:
        assert running["int8"] == running["fp32"] + FIELD
    if step == 4:
        assert running["fp32"] == CONTENT
        assert recognise(assets / "sightline-webcam-int8.onnx").postprocess.conf == 0.6


def test_missing_pictures_are_an_error_that_leaves_all_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"INT8 is calibrated on"):
        publish(shipped_model(), tmp_path / "nothing", tmp_path / "assets", 0.5)
    with pytest.raises(FileNotFoundError, match=r"gone\.onnx"):
        publish(tmp_path / "gone.onnx", tmp_path, tmp_path / "assets", 0.5)
    assert not (tmp_path / "assets").exists()
