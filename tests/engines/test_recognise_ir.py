"""An OpenVINO pair is what the sidecar that was made with it says, or isn't taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sightline_engines.errors import ModelFileError
from sightline_engines.irfile import ir_digest
from sightline_engines.recognise import recognise
from sightline_engines.types import Family, Format

NET = """<net><layers>
<layer type="{kind}" version="opset1"><data shape="{shape}"/></layer>
</layers></net>"""


def pair(folder: Path, shape: str = "?,3,64,64", kind: str = "Parameter", **more: Any) -> Path:
    """Write an .xml, a .bin and the sidecar of both, whose fields `more` changes; None: none."""
    path = folder / "cars.xml"
    path.write_text(NET.format(kind=kind, shape=shape))
    path.with_suffix(".bin").write_bytes(b"weights")
    fields = {
        "family": "yolov8",
        "input_size_wh": [64, 32],
        "labels": ["car"],
        "precision": "int8",
        "preprocess": {"color": "rgb", "scale": 0.5, "letterbox": "centre", "pad": 114},
        "sha256": ir_digest(path),
    }
    said = {name: value for name, value in {**fields, **more}.items() if value is not None}
    path.with_suffix(".json").write_text(json.dumps(said))
    return path


@pytest.mark.parametrize(
    ("kind", "shape", "batch"),
    [("Result", "", None), ("Parameter", "?,3,32,64", None), ("Parameter", "4,3,32,64", 4)],
)
def test_a_pair_is_what_its_sidecar_says(
    tmp_path: Path, kind: str, shape: str, batch: int | None
) -> None:
    spec = recognise(pair(tmp_path, shape, kind))
    assert (spec.format, spec.family, spec.precision) == (Format.OPENVINO, Family.YOLOV8, "int8")
    assert (spec.input_size_wh, spec.labels, spec.static_batch) == ((64, 32), ("car",), batch)
    assert (spec.preprocess.color, spec.preprocess.scale) == ("rgb", 0.5)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("family", None, "with family"),
        ("labels", None, "with labels"),
        ("sha256", None, "with sha256"),
        ("family", "other", "a family other than"),
        ("task", "segment", "the task detect"),
        ("sha256", "0" * 64, "aren't the pair that was made"),
    ],
)
def test_a_pair_without_its_own_sidecar_is_refused(
    tmp_path: Path, field: str, value: Any, said: str
) -> None:
    with pytest.raises(ModelFileError, match=said):
        recognise(pair(tmp_path, **{field: value}))


def test_a_pair_of_which_one_is_gone_is_refused(tmp_path: Path) -> None:
    path = pair(tmp_path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelFileError, match="a pair"):
        recognise(path)
