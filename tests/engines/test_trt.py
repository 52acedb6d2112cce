"""The TensorRT engine on a GPU in numpy: every line that calls CUDA or TensorRT runs here."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sightline_engines import passport_check, trt, trt_memory
from sightline_engines.device import CPU, Device, Gpu
from sightline_engines.errors import (
    EngineError,
    EngineMemoryError,
    ModelFileError,
    ProviderError,
)
from sightline_engines.passport import Passport
from sightline_engines.trt import TensorRtEngine, batch_sizes, load_tensorrt
from sightline_engines.types import Family, ModelSpec, Tensor
from tests.engines.fake_cuda import FakeCuda, Status
from tests.engines.fake_trt import VERSION, FakeTrt

GPU = Gpu("NVIDIA X", "9.0", "580.65.06")
RAW = np.arange(12, dtype=np.float64).reshape(2, 6)
GAIN = 50.0


def plan(tmp_path: Path, data: bytes | None = None, **fields: Any) -> ModelSpec:
    """Write a plan as the fake reads it, with the passport of the fake's machine."""
    known = {"max": 8, "picture": [32, 64, 3], "raw_shape": [2, 6], "raw": RAW.ravel().tolist()}
    written = data or json.dumps({**known, "gain": GAIN, **fields}).encode()
    path = tmp_path / "m.plan"
    path.write_bytes(written)
    digest = hashlib.sha256(written).hexdigest()
    passport = Passport(
        GPU.name, GPU.compute_capability, VERSION, GPU.driver, "0" * 64, digest, 1, 4, 8, (64, 32)
    )
    return ModelSpec(
        "m", path, Family.END2END, (64, 32), ("a",), precision="fp16", passport=passport
    )


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setattr(trt_memory, "cuda_runtime", lambda: fake)
    return fake


@pytest.fixture
def gpu(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTrt:
    """Let this machine have a GPU and TensorRT."""
    fake = FakeTrt(cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", fake.module())
    monkeypatch.setattr(trt, "missing_tensorrt", lambda: None)
    monkeypatch.setattr(trt, "read_gpu", lambda place=0: GPU)
    monkeypatch.setattr(passport_check, "tensorrt_version", lambda: VERSION)
    return fake


def pictures(count: int) -> Tensor:
    return np.stack([np.full((32, 64, 3), 10 * i, np.uint8) for i in range(count)])


def check_answers(engine: TensorRtEngine, count: int) -> None:
    (output,) = engine.infer(pictures(count))
    means = 10 * np.arange(count)[:, None, None] / 255
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, RAW[None] + GAIN * means, rtol=2e-3)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 11, 20])
def test_every_picture_gets_its_own_answer_at_any_batch(
    tmp_path: Path, gpu: FakeTrt, static: bool, dtype: str, count: int
) -> None:
    fixed: dict[str, Any] = {"static": True, "max": 3} if static else {}
    engine = load_tensorrt(plan(tmp_path, dtype=dtype, **fixed))
    check_answers(engine, count)
    check_answers(engine, count)
    engine.close()
    assert gpu.cuda.held() == 0


def test_what_serves_is_named(tmp_path: Path, gpu: FakeTrt) -> None:
    engine = load_tensorrt(plan(tmp_path), Device("cuda", 1), "the first GPU is gone")
    served = engine.served
    assert (served.engine, served.precision, served.device) == ("tensorrt", "fp16", "CUDA:1")
    assert served.fallback == "the first GPU is gone"
    assert engine.spec.name == "m"
    assert gpu.cuda.device == 1
    engine.close()


@pytest.mark.parametrize(
    ("largest", "sizes"),
    [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (8, (1, 2, 4, 8)), (12, (1, 2, 4, 8, 12))],
)
def test_batches_are_run_at_powers_of_two_and_the_largest(
    largest: int, sizes: tuple[int, ...]
) -> None:
    assert batch_sizes(largest) == sizes


def test_each_batch_size_is_recorded_at_load_and_then_only_launched(
    tmp_path: Path, gpu: FakeTrt
) -> None:
    engine = load_tensorrt(plan(tmp_path))
    calls = gpu.cuda.calls
    assert calls.count("cudaGraphInstantiate") == calls.count("cudaGraphDestroy") == 4
    for count in range(1, 9):
        gpu.cuda.calls.clear()
        check_answers(engine, count)
        assert gpu.cuda.calls == ["cudaSetDevice", "cudaGraphLaunch", "cudaStreamSynchronize"]
    engine.close()


@pytest.mark.parametrize(
    "call", ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"]
)
def test_what_cannot_be_recorded_runs_without_a_graph(
    tmp_path: Path, gpu: FakeTrt, call: str
) -> None:
    gpu.cuda.fails[call] = Status.cudaErrorStreamCaptureInvalidated
    engine = load_tensorrt(plan(tmp_path))
    for count in (1, 3, 3):
        check_answers(engine, count)
    assert "cudaGraphLaunch" not in gpu.cuda.calls
    assert "cudaGetLastError" in gpu.cuda.calls
    engine.close()
    assert gpu.cuda.held() == 0


def test_an_answer_is_not_written_over_by_the_next(tmp_path: Path, gpu: FakeTrt) -> None:
    engine = load_tensorrt(plan(tmp_path))
    first = engine.infer(pictures(1))[0]
    kept = first.copy()
    engine.infer(np.full((1, 32, 64, 3), 255, np.uint8))
    np.testing.assert_array_equal(first, kept)
    engine.close()


def test_lack_of_memory_at_one_batch_size_leaves_the_others(tmp_path: Path, gpu: FakeTrt) -> None:
    gpu.cuda.fails["cudaStreamBeginCapture"] = Status.cudaErrorStreamCaptureInvalidated
    engine = load_tensorrt(plan(tmp_path))
    gpu.fails_at.add(8)
    for _ in range(2):
        with pytest.raises(EngineMemoryError, match="SIGHTLINE_MAX_BATCH"):
            engine.infer(pictures(8))
        check_answers(engine, 4)
    gpu.fails_at.clear()
    check_answers(engine, 8)
    engine.close()
    assert gpu.cuda.held() == 0


@pytest.mark.parametrize("call", ["cudaMalloc", "cudaHostAlloc"])
def test_no_memory_to_load_is_told_as_such_and_leaves_nothing(
    tmp_path: Path, gpu: FakeTrt, call: str
) -> None:
    gpu.cuda.fails[call] = Status.cudaErrorMemoryAllocation
    with pytest.raises(EngineMemoryError, match="ran out of memory"):
        load_tensorrt(plan(tmp_path))
    assert gpu.cuda.held() == 0


def test_no_memory_for_a_context_is_told_as_such_and_leaves_nothing(
    tmp_path: Path, gpu: FakeTrt
) -> None:
    gpu.no_context = True
    with pytest.raises(EngineMemoryError, match="out of memory"):
        load_tensorrt(plan(tmp_path))
    assert gpu.cuda.held() == 0


@pytest.mark.parametrize("call", ["cudaGraphLaunch", "cudaStreamSynchronize", "cudaSetDevice"])
def test_a_gpu_that_fails_is_an_engine_error_and_can_still_be_closed(
    tmp_path: Path, gpu: FakeTrt, call: str
) -> None:
    engine = load_tensorrt(plan(tmp_path))
    gpu.cuda.fails[call] = Status.cudaErrorInvalidValue
    with pytest.raises(EngineError, match="CUDA failed: cudaErrorInvalidValue") as caught:
        engine.infer(pictures(1))
    assert not isinstance(caught.value, EngineMemoryError)
    engine.close()
    assert gpu.cuda.held() == 0


def test_a_closed_engine_says_so_and_closes_twice(tmp_path: Path, gpu: FakeTrt) -> None:
    engine = load_tensorrt(plan(tmp_path))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(pictures(1))
    assert gpu.cuda.held() == 0


@pytest.mark.parametrize(
    "tensor",
    [np.zeros((1, 64, 32, 3), np.uint8), np.zeros((1, 32, 64, 3), np.float32)],
    ids=["turned", "float"],
)
def test_a_wrong_tensor_is_an_engine_error(tmp_path: Path, gpu: FakeTrt, tensor: Any) -> None:
    engine = load_tensorrt(plan(tmp_path))
    with pytest.raises(EngineError, match="takes uint8"):
        engine.infer(tensor)
    engine.close()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"input": "images"}, "has the inputs images"),
        ({"picture": [64, 64, 3]}, "takes pictures of 64x64, not 64x32"),
        ({"raw_shape": [2, -1]}, "outputs of a fixed size a picture"),
        ({"raw_shape": [3, 4]}, "which is no end2end output"),
    ],
)
def test_a_plan_of_another_kind_is_a_model_error(
    tmp_path: Path, gpu: FakeTrt, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelFileError, match=said):
        load_tensorrt(plan(tmp_path, **fields))
    assert gpu.cuda.held() == 0


def test_a_damaged_plan_is_a_model_error_with_what_tensorrt_wrote(
    tmp_path: Path, gpu: FakeTrt
) -> None:
    with pytest.raises(ModelFileError, match=r"can't read m\.plan: Serialization assertion"):
        load_tensorrt(plan(tmp_path, data=b"garbage"))
    assert gpu.cuda.held() == 0


def test_a_plan_without_workspace_needs_none(tmp_path: Path, gpu: FakeTrt) -> None:
    engine = load_tensorrt(plan(tmp_path, workspace=0))
    check_answers(engine, 2)
    engine.close()


# --- what is refused before TensorRT is touched ---------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("gpu", "NVIDIA Y", "GPU NVIDIA Y, here NVIDIA X"),
        ("compute_capability", "8.9", "compute capability 8.9, here 9.0"),
        ("tensorrt", "10.16.1.11", "TensorRT 10.16.1.11, here"),
        ("driver", "1.2", "driver 1.2, here"),
        ("plan_sha256", "f" * 64, "its hash differs"),
    ],
)
def test_a_passport_of_another_place_bars_the_plan(
    tmp_path: Path, gpu: FakeTrt, field: str, value: str, said: str
) -> None:
    spec = plan(tmp_path)
    assert spec.passport is not None
    other: dict[str, Any] = {field: value}
    with pytest.raises(ProviderError, match=said):
        load_tensorrt(replace(spec, passport=replace(spec.passport, **other)))
    assert not gpu.touched
    assert "cudaSetDevice" not in gpu.cuda.calls  # which makes a context


def test_a_plan_without_a_passport_is_refused(tmp_path: Path, gpu: FakeTrt) -> None:
    with pytest.raises(ProviderError, match="made elsewhere"):
        load_tensorrt(replace(plan(tmp_path), passport=None))
    assert not gpu.touched
    assert gpu.cuda.calls == []


def test_a_plan_that_is_gone_is_a_model_error(tmp_path: Path, gpu: FakeTrt) -> None:
    spec = plan(tmp_path)
    spec.path.unlink()
    with pytest.raises(ModelFileError, match="can't be read"):
        load_tensorrt(spec)


def test_without_a_driver_nothing_of_cuda_or_tensorrt_is_called(
    tmp_path: Path, gpu: FakeTrt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt, "missing_tensorrt", lambda: "no NVIDIA GPU is seen")
    with pytest.raises(ProviderError, match="TensorRT was asked for, but no NVIDIA GPU"):
        load_tensorrt(plan(tmp_path))
    assert not gpu.touched
    assert gpu.cuda.calls == []


def test_the_processor_runs_no_plan(tmp_path: Path, gpu: FakeTrt) -> None:
    with pytest.raises(ProviderError, match="needs an NVIDIA GPU"):
        load_tensorrt(plan(tmp_path), CPU)


def test_a_gpu_that_cuda_does_not_have_is_named(tmp_path: Path, gpu: FakeTrt) -> None:
    with pytest.raises(ProviderError, match="doesn't start on GPU 5"):
        load_tensorrt(plan(tmp_path), Device("tensorrt", 5))


@pytest.mark.parametrize("call", ["cudaSetDevice", "cudaStreamCreateWithFlags"])
def test_cuda_that_does_not_start_is_a_provider_error(
    tmp_path: Path, gpu: FakeTrt, call: str
) -> None:
    gpu.cuda.fails[call] = Status.cudaErrorInsufficientDriver
    with pytest.raises(ProviderError, match="cudaErrorInsufficientDriver"):
        load_tensorrt(plan(tmp_path))
    assert gpu.cuda.held() == 0


def test_tensorrt_that_does_not_load_is_a_provider_error(
    tmp_path: Path, gpu: FakeTrt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(ProviderError, match="TensorRT doesn't load"):
        load_tensorrt(plan(tmp_path))
    assert gpu.cuda.held() == 0


def test_tensorrt_that_does_not_start_is_a_provider_error(tmp_path: Path, gpu: FakeTrt) -> None:
    gpu.no_builder = True
    with pytest.raises(ProviderError, match="TensorRT doesn't start: CUDA initialization failure"):
        load_tensorrt(plan(tmp_path))
    assert gpu.cuda.held() == 0


def test_cuda_python_is_found_under_both_names(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = ModuleType("cuda.bindings"), ModuleType("cuda")
    new.runtime = "new"  # type: ignore[attr-defined]
    old.cudart = "old"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", old)
    monkeypatch.setitem(sys.modules, "cuda.bindings", new)
    assert trt_memory.cuda_runtime() == "new"
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    assert trt_memory.cuda_runtime() == "old"
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(ProviderError, match="cuda-python isn't installed"):
        trt_memory.cuda_runtime()
