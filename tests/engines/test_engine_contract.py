"""What every engine promises, whatever runs below it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from sightline_engines import onnxrt, ov
from sightline_engines.device import CPU
from sightline_engines.errors import EngineError, EngineMemoryError, ModelFileError
from sightline_engines.load import EngineName
from sightline_engines.pipeline import DetectOptions, default_options, detect
from sightline_engines.recognise import recognise
from sightline_engines.types import Engine, ModelSpec
from tests.engines.conftest import Load
from tests.engines.tiny import FAMILIES, constant_model, random_raw, save


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


# --- out of memory ---------------------------------------------------------------------------

ALLOCATE = "Failed to allocate memory for requested buffer of size 409600000"
ORT_SAYS: list[tuple[Exception, bool]] = [
    (ort_errors.Fail(f"[ONNXRuntimeError] : 1 : FAIL : {ALLOCATE}"), True),
    (
        ort_errors.RuntimeException(f"bfc_arena.cc:376 void* onnxruntime::BFCArena: {ALLOCATE}"),
        True,
    ),
    (ort_errors.Fail("CUDA failure 2: out of memory ; GPU=0 ; file=cuda_allocator.cc"), True),
    (ort_errors.Fail("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0"), True),
    (ort_errors.RuntimeException("Exception during initialization: std::bad_alloc"), True),
    (MemoryError(), True),
    (ort_errors.Fail("CUDA failure 700: an illegal memory access was encountered"), False),
    (ort_errors.Fail("CUDA failure 209: no kernel image is available"), False),
    (ort_errors.InvalidArgument("Got invalid dimensions for input"), False),
]
OPENVINO_SAYS: list[tuple[Exception, bool]] = [
    (
        RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:223: std::bad_alloc"),
        True,
    ),
    (RuntimeError("[GPU] CL_OUT_OF_MEMORY: out of memory"), True),
    (MemoryError("std::bad_alloc"), True),
    (RuntimeError("Check 'shape.compatible' failed"), False),
]


@dataclass(frozen=True)
class Broken:
    """A runtime's session or request that raises one thing."""

    error: Exception

    def run(self, *_: Any) -> Any:
        raise self.error

    def infer(self, *_: Any, **__: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(("error", "of_memory"), ORT_SAYS)
def test_onnx_runtime_out_of_memory_is_told_apart(
    tmp_path: Path, error: Exception, of_memory: bool
) -> None:
    real = onnxrt.load_onnxruntime(brightness_model(tmp_path / "m.onnx", 1), CPU, threads=1)
    tell_apart(onnxrt.OnnxRuntimeEngine(real.spec, real.served, Broken(error)), of_memory)


@pytest.mark.parametrize(("error", "of_memory"), OPENVINO_SAYS)
def test_openvino_out_of_memory_is_told_apart(
    tmp_path: Path, error: Exception, of_memory: bool
) -> None:
    real = ov.load_openvino(brightness_model(tmp_path / "m.onnx", 1), threads=1)
    broken = Broken(error)
    tell_apart(ov.OpenVinoEngine(real.spec, real.served, broken, lambda: broken), of_memory)


def tell_apart(engine: Engine, of_memory: bool) -> None:
    with pytest.raises(EngineError) as raised:
        engine.infer(np.zeros((1, 32, 64, 3), np.uint8))
    assert isinstance(raised.value, EngineMemoryError) == of_memory
    assert raised.value.code == ("engine_memory" if of_memory else "engine_failed")
    assert ("Lower SIGHTLINE_MAX_BATCH" in raised.value.message) == of_memory


def test_a_batch_that_no_memory_holds_fails_alone(tmp_path: Path, load: Load) -> None:
    engine = load(hungry_model(tmp_path / "m.onnx"))
    for _ in range(2):
        with pytest.raises(EngineMemoryError, match="ran out of memory"):
            engine.infer(np.zeros((2, 32, 64, 3), np.uint8))
        assert engine.infer(np.zeros((1, 32, 64, 3), np.uint8))[0].shape == (1, 2, 6)
    engine.close()


def hungry_model(path: Path) -> ModelSpec:
    """Write a model that for two pictures needs more memory than can be addressed."""
    weights: dict[str, NDArray[Any]] = {
        "raw": np.zeros((1, 2, 6), np.float32),
        "column": np.array([-1, 1, 1], np.int64),
        "first": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "side": np.array([2**15], np.int64),
    }
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["count"], axis=0),
        helper.make_node("Sub", ["count", "one"], ["more"]),
        helper.make_node("Mul", ["more", "side"], ["sides"]),
        helper.make_node("Add", ["sides", "one"], ["edge"]),
        helper.make_node("Concat", ["edge", "edge", "edge"], ["cube"], axis=0),
        helper.make_node("ConstantOfShape", ["cube"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["means"]),
        helper.make_node("Add", ["means", "raw"], ["rows"]),
        helper.make_node("Add", ["rows", "zero"], ["output0"]),
    ]
    return recognise(save(path, nodes, weights, ["n", 3, 32, 64], ["n", 2, 6]))
