"""Every conversion that needs no GPU, on the shipped model at a small size and real pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from sightline_engines.assets import shipped_model
from sightline_engines.convert.convert import can_make, convert
from sightline_engines.convert.options import ConvertOptions, Precision
from sightline_engines.errors import ModelFileError, ProviderError
from sightline_engines.load import load_engine
from sightline_engines.onnxfile import read_onnx
from sightline_engines.recognise import recognise
from sightline_engines.sidecar import sidecar_path
from sightline_engines.types import Format, ModelSpec
from tests.conftest import missing
from tests.engines.tiny_conv import SIDE, conv_model

SMALL = (256, 256)


@pytest.fixture(scope="module")
def source() -> ModelSpec:
    return recognise(shipped_model())


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "faces").rglob("*.jpg"))[::180]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("format", [Format.ONNX, Format.OPENVINO])
def test_what_is_made_detects_what_its_source_detects(
    format: Format, precision: Precision, source: ModelSpec, faces: list[Path], tmp_path: Path
) -> None:
    told: list[float] = []
    options = ConvertOptions(format, precision, calibration_pictures=8)
    try:
        made = convert(source, options, faces, tmp_path, lambda share, _: told.append(share))
    except ProviderError as error:
        missing(error.message)
        raise
    spec = made.spec
    assert made.parity is not None
    assert made.parity.boxes > 5
    assert (spec.format, spec.precision, spec.input_size_wh) == (format, precision, (416, 416))
    assert (spec.labels, spec.static_batch) == (source.labels, None)
    assert told == sorted(told)
    assert told[-1] == 1
    engine = load_engine(spec, "openvino" if format is Format.OPENVINO else "onnxruntime")
    assert engine.served.precision == precision
    engine.close()
    kept = {spec.path.name, sidecar_path(spec.path).name}
    kept |= {"model.bin"} if format is Format.OPENVINO else set()
    assert {path.name for path in tmp_path.iterdir()} == kept
    if format is Format.ONNX:
        assert read_onnx(spec.path).precision == precision
        onnx.checker.check_model(spec.path)


def test_a_model_fixed_to_its_size_says_so(source: ModelSpec, tmp_path: Path) -> None:
    options = ConvertOptions(Format.ONNX, input_size_wh=SMALL)
    with pytest.raises(ModelFileError, match="is built for 416x416"):
        convert(source, options, [], tmp_path)


@pytest.mark.parametrize("side", [SIDE, "side"])
@pytest.mark.parametrize("format", [Format.ONNX, Format.OPENVINO])
def test_another_size_is_written_into_the_file(
    format: Format, side: int | str, tmp_path: Path
) -> None:
    source = recognise(conv_model(tmp_path / "conv.onnx", side=side))
    options = ConvertOptions(format, input_size_wh=(96, 64))
    try:
        made = convert(source, options, [], tmp_path / "made").spec
    except ProviderError as error:
        missing(error.message)
        raise
    assert made.input_size_wh == (96, 64)
    assert made.sha256 != source.sha256
    engine = load_engine(made, "openvino" if format is Format.OPENVINO else "onnxruntime")
    # Cells over strides 8, 16 and 32.
    assert engine.infer(np.zeros((2, 64, 96, 3), np.uint8))[0].shape == (2, 6, 96 + 24 + 6)
    engine.close()
    assert not list((tmp_path / "made").glob(".*"))


def test_a_graph_that_counts_its_cells_keeps_its_size(tmp_path: Path) -> None:
    source = recognise(conv_model(tmp_path / "conv.onnx", any_size=False))
    with pytest.raises(ModelFileError, match="is built for 64x64 and doesn't run at 96x96"):
        convert(source, ConvertOptions(Format.ONNX, input_size_wh=(96, 96)), [], tmp_path / "made")
    assert not list((tmp_path / "made").iterdir())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (ConvertOptions(Format.ONNX, "int8"), "Name a data set"),
        (ConvertOptions(Format.OPENVINO, "int8"), "Name a data set"),
        (ConvertOptions(Format.ONNX, input_size_wh=(100, 100)), "multiples of 32"),
    ],
)
def test_what_cannot_be_made_says_why(
    options: ConvertOptions, problem: str, source: ModelSpec, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match=problem):
        convert(source, options, [], tmp_path)


def test_a_checkpoint_is_never_made() -> None:
    assert "checkpoint" in (can_make(Format.TORCH, "fp32") or "")
    assert can_make(Format.ONNX, "int8") is None
