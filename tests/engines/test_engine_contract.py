"""What every engine promises, whatever runs below it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sightline_engines.errors import EngineError, ModelFileError
from sightline_engines.load import EngineName
from sightline_engines.pipeline import DetectOptions, default_options, detect
from sightline_engines.recognise import recognise
from sightline_engines.types import ModelSpec
from tests.engines.conftest import Load
from tests.engines.tiny import FAMILIES, constant_model, random_raw


def brightness_model(path: Path, batch: int | str, kind: str = "float32") -> ModelSpec:
    """Write a model whose one box reaches as far right as its picture is bright."""
    raw = np.array([[0, 0, 10, 32, 0.9, 1], [0, 0, 0, 0, 0, 0]])
    gain = np.zeros_like(raw)
    gain[0, 2] = 50.0  # the mean is 0..1
    return recognise(constant_model(path, raw, batch=batch, gain=gain, kind=kind, size_wh=(64, 32)))


@pytest.mark.parametrize("batch", [1, 3, "batch"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_every_picture_gets_its_own_answer_at_any_batch(
    tmp_path: Path, load: Load, batch: int | str, count: int, kind: str
) -> None:
    engine = load(brightness_model(tmp_path / "m.onnx", batch, kind))
    tensor = np.stack([np.full((32, 64, 3), i * 30, np.uint8) for i in range(count)])
    (output,) = engine.infer(tensor)
    assert output.shape == (count, 2, 6)
    assert output.dtype == np.float32
    expected = [10 + 50 * i * 30 / 255 for i in range(count)]
    np.testing.assert_allclose(output[:, 0, 2], expected, rtol=2e-3)
    engine.close()


def test_a_batch_larger_than_one_call_takes_is_split(tmp_path: Path, load: Load) -> None:
    engine = load(brightness_model(tmp_path / "m.onnx", "batch"))
    tensor = np.arange(40, dtype=np.uint8)[:, None, None, None] * np.ones((32, 64, 3), np.uint8)
    (output,) = engine.infer(tensor)
    np.testing.assert_allclose(output[:, 0, 2], 10 + 50 * np.arange(40) / 255, rtol=1e-4)
    engine.close()


def test_an_answer_is_not_written_over_by_the_next(tmp_path: Path, load: Load) -> None:
    engine = load(brightness_model(tmp_path / "m.onnx", 1))
    first = engine.infer(np.zeros((1, 32, 64, 3), np.uint8))[0]
    kept = first.copy()
    engine.infer(np.full((1, 32, 64, 3), 255, np.uint8))
    np.testing.assert_array_equal(first, kept)
    engine.close()


def test_a_closed_engine_says_so(tmp_path: Path, load: Load) -> None:
    engine = load(brightness_model(tmp_path / "m.onnx", 1))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(np.zeros((1, 32, 64, 3), np.uint8))


@pytest.mark.parametrize("batch", [1, 2, "batch"])
def test_a_tensor_of_the_wrong_size_is_an_engine_error(
    tmp_path: Path, load: Load, batch: int | str
) -> None:
    engine = load(brightness_model(tmp_path / "m.onnx", batch))
    with pytest.raises(EngineError):
        engine.infer(np.zeros((1, 64, 64, 3), np.uint8))
    engine.infer(np.zeros((1, 32, 64, 3), np.uint8))  # and the engine still runs
    engine.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_any_picture_size_runs_at_the_one_chosen(
    tmp_path: Path, load: Load, family: str
) -> None:
    raw = random_raw(family, 2)
    columns = raw.shape[1] if family != "yolov8" else "anchors"
    rows = raw.shape[0] if family == "yolov8" else "anchors"
    spec = recognise(
        constant_model(
            tmp_path / "m.onnx",
            raw,
            size_wh=("w", "h"),
            batch="n",
            output_dims=["n", rows, columns],
            metadata={"imgsz": "[64, 64]", "end2end": str(family == "end2end")},
        )
    )
    assert (spec.family, spec.input_size_wh, spec.static_batch) == (family, (64, 64), None)
    engine = load(spec)
    assert engine.infer(np.zeros((2, 64, 64, 3), np.uint8))[0].shape == (2, *raw.shape)
    engine.close()


def test_what_serves_is_named_in_full(tmp_path: Path, load: Load, engine_name: EngineName) -> None:
    spec = brightness_model(tmp_path / "street.onnx", 1)
    engine = load(spec)
    assert engine.spec == spec
    served = engine.served
    assert (served.name, served.version) == ("street", spec.sha256[:8])
    assert (served.engine, served.device) == (engine_name, "CPU")
    assert (served.precision, served.fallback) == ("fp32", None)
    engine.close()


def test_a_sidecar_that_names_the_wrong_head_is_found_at_load(tmp_path: Path, load: Load) -> None:
    path = constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2))
    (tmp_path / "m.json").write_text('{"family": "yolox", "labels": ["a", "b"]}')
    with pytest.raises(ModelFileError, match="labels"):
        load(recognise(path))


def test_pictures_go_through_the_whole_pipeline(tmp_path: Path, load: Load) -> None:
    engine = load(brightness_model(tmp_path / "m.onnx", "batch"))
    images = [np.full((64, 128, 3), level, np.uint8) for level in (0, 51, 102)]
    options = [default_options(engine.spec)] * 2 + [DetectOptions(0.95, 0.5)]
    (dark, brighter, unsure), times = detect(engine, images, options)
    np.testing.assert_allclose(dark.xyxy, [[0, 0, 20, 64]], atol=1e-3)
    np.testing.assert_allclose(brighter.xyxy, [[0, 0, 40, 64]], atol=0.1)
    assert len(unsure) == 0
    assert min(times.preprocess, times.infer, times.postprocess) >= 0
    assert detect(engine, [], [])[0] == []
    with pytest.raises(ValueError, match="as many options"):
        detect(engine, images, options[:1])
    engine.close()
