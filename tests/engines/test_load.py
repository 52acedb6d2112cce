"""Choosing an engine: what is asked for is used or refused, what is chosen says why."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from sightline_engines import load as loading
from sightline_engines import onnxrt, ov
from sightline_engines.device import CPU, Device, nvidia_gpus, parse_device
from sightline_engines.errors import ModelFileError, ProviderError
from sightline_engines.load import EngineName, engine_choices, load_engine
from sightline_engines.pace import fastest
from sightline_engines.recognise import recognise
from sightline_engines.types import ModelSpec
from tests.conftest import missing
from tests.engines.tiny import constant_model, random_raw
from tests.fakes import FakeEngine


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    return recognise(constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2)))


@pytest.mark.parametrize(
    ("text", "device", "shown"),
    [
        ("cpu", CPU, "CPU"),
        ("CUDA", Device("cuda"), "CUDA:0"),
        ("cuda:1", Device("cuda", 1), "CUDA:1"),
        ("tensorrt", Device("tensorrt"), "TensorRT:0"),
        (" tensorrt:3 ", Device("tensorrt", 3), "TensorRT:3"),
    ],
)
def test_a_device_is_read_as_people_write_it(text: str, device: Device, shown: str) -> None:
    assert parse_device(text) == device
    assert str(device) == shown


@pytest.mark.parametrize("text", ["", "gpu", "cpu:1", "cuda:", "cuda:-1", "cuda:x"])
def test_an_unknown_device_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(ProviderError, match="known are cpu, cuda, cuda:1"):
        parse_device(text)


def test_auto_picks_a_choice_that_is_there(spec: ModelSpec) -> None:
    able = [choice for choice in engine_choices() if choice.available]
    engine = load_engine(spec, threads=1)
    assert engine.served.engine in {choice.name for choice in able}
    assert engine.served.fallback is None
    engine.close()


@pytest.mark.parametrize(
    ("times_s", "winner"),
    [((0.0,), 0), ((0.01, 0.01), 0), ((0.01, 0.03), 0), ((0.03, 0.01), 1), ((0.03, 0.05, 0.0), 2)],
)
def test_the_fastest_engine_is_kept_and_the_others_are_closed(
    times_s: tuple[float, ...], winner: int
) -> None:
    engines = [FakeEngine(seconds=seconds) for seconds in times_s]
    chosen = fastest(engines)
    assert chosen is engines[winner]
    assert [engine.closed for engine in engines] == [e is not chosen for e in engines]


def test_every_choice_says_why(spec: ModelSpec) -> None:
    choices = engine_choices()
    assert [(c.name, c.device) for c in choices] == [
        ("onnxruntime", "cuda"),
        ("openvino", "cpu"),
        ("onnxruntime", "cpu"),
        ("tensorrt", "cuda"),
    ]
    assert all(choice.why.endswith(".") for choice in choices)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "tensorrt"])
@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error(
    spec: ModelSpec, engine: EngineName, device: str
) -> None:
    if nvidia_gpus():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ProviderError, match=r"was asked for, but"):
        load_engine(spec, engine, device=device)


def test_openvino_on_a_gpu_is_refused_with_what_to_choose(spec: ModelSpec) -> None:
    with pytest.raises(ProviderError, match="for CUDA:0 choose onnxruntime"):
        load_engine(spec, "openvino", device="cuda")


def test_an_unknown_engine_is_refused(spec: ModelSpec) -> None:
    name: Any = "torch"
    with pytest.raises(ProviderError, match="known are auto, onnxruntime, openvino, tensorrt"):
        load_engine(spec, name)


@pytest.mark.parametrize(
    ("suffix", "engine", "said"),
    [
        (".onnx", "tensorrt", "is ONNX; the engine tensorrt runs plans: convert it"),
        (".xml", "onnxruntime", "can't run on onnxruntime: OpenVINO IR runs on OpenVINO alone"),
        (".xml", "tensorrt", "can't run on tensorrt"),
        (".plan", "openvino", "can't run on openvino: a plan runs on TensorRT alone"),
        (".plan", "onnxruntime", "can't run on onnxruntime"),
        (".plan", "auto", "made elsewhere"),
        (".plan", "tensorrt", "made elsewhere"),
    ],
)
def test_a_format_runs_on_its_own_engine_alone(
    spec: ModelSpec, suffix: str, engine: EngineName, said: str
) -> None:
    with pytest.raises(ProviderError, match=said):
        load_engine(replace(spec, path=spec.path.with_suffix(suffix)), engine)


@pytest.mark.parametrize("engine", ["auto", "tensorrt", "onnxruntime"])
def test_a_checkpoint_is_never_run(spec: ModelSpec, engine: EngineName) -> None:
    with pytest.raises(ModelFileError, match="convert it to ONNX"):
        load_engine(replace(spec, path=spec.path.with_suffix(".pt")), engine)


def test_openvino_ir_is_refused_on_a_gpu(spec: ModelSpec) -> None:
    with pytest.raises(ProviderError, match="OpenVINO runs on the CPU here"):
        load_engine(replace(spec, path=spec.path.with_suffix(".xml")), device="cuda")


def test_a_plan_is_loaded_on_the_gpu_that_was_asked_for(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Device | None] = []
    engine = FakeEngine()

    def load(spec: ModelSpec, device: Device | None = None) -> FakeEngine:
        asked.append(device)
        return engine

    monkeypatch.setattr(loading, "load_tensorrt", load)
    plan = replace(spec, path=spec.path.with_suffix(".plan"))
    assert load_engine(plan) is engine
    assert load_engine(plan, "tensorrt", device="cuda:1") is engine
    assert asked == [None, Device("cuda", 1)]


# --- machines that this one is not ---------------------------------------------------------


def pretend(monkeypatch: pytest.MonkeyPatch, **facts: object) -> None:
    """Let `load` see another machine."""
    for name, value in facts.items():
        monkeypatch.setattr(loading, name, lambda *_, value=value: value)


def test_a_gpu_without_its_runtime_falls_back_and_says_so(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, nvidia_gpus=("NVIDIA X",))
    engine = load_engine(spec, threads=1)
    assert engine.served.device == "CPU"
    assert engine.served.fallback is not None
    assert "NVIDIA X is here, but this ONNX Runtime" in engine.served.fallback
    assert "onnx-gpu" in engine.served.fallback
    engine.close()


def test_a_gpu_whose_provider_does_not_start_falls_back_and_says_so(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, nvidia_gpus=("NVIDIA X",), missing_provider=None)
    engine = load_engine(spec, threads=1)  # the real ONNX Runtime here has no CUDA
    assert engine.served.device == "CPU"
    assert "CUDA:0 was asked for, but" in str(engine.served.fallback)
    engine.close()


def test_without_openvino_an_x86_machine_says_it_could_be_faster(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, missing_openvino="it isn't installed", _is_x86=True, nvidia_gpus=())
    engine = load_engine(spec, threads=1)
    assert engine.served.engine == "onnxruntime"
    assert "OpenVINO may be faster" in str(engine.served.fallback)
    engine.close()


def test_on_other_processors_onnx_runtime_is_the_first_choice(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, _is_x86=False, nvidia_gpus=())
    engine = load_engine(spec, threads=1)
    assert (engine.served.engine, engine.served.fallback) == ("onnxruntime", None)
    engine.close()


def test_no_runtime_at_all_is_an_error_with_the_reasons(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, missing_openvino="it isn't installed", missing_provider="isn't installed")
    with pytest.raises(ProviderError, match="No engine can run here"):
        load_engine(spec)


def test_a_model_that_no_runtime_can_run_is_a_model_error(spec: ModelSpec) -> None:
    model = onnx.load(spec.path)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "raw")
    weight.CopyFrom(onnx.numpy_helper.from_array(np.zeros((1, 5, 7), np.float32), "raw"))
    onnx.save(model, spec.path)
    for engine in ("auto", "onnxruntime", "openvino"):
        name: Any = engine
        with pytest.raises(ModelFileError, match=r"m\.onnx"):
            load_engine(spec, name, device="cpu")


def test_a_missing_runtime_is_named_with_what_to_install(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ProviderError, match=r"install sightline-engines\[openvino\]"):
        load_engine(spec, "openvino")
    with pytest.raises(ProviderError, match=r"install sightline-engines\[onnx\]"):
        load_engine(spec, "onnxruntime", device="cpu")


# --- what ONNX Runtime is asked for, with a stand-in for a GPU build -------------------------


@dataclass
class GpuBuild:
    """An onnxruntime whose CUDA starts, or is dropped in silence."""

    starts: tuple[str, ...]
    asked: dict[str, Any]

    __version__ = "9.9"
    SessionOptions = onnxruntime.SessionOptions

    def get_available_providers(self) -> list[str]:
        return ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

    def preload_dlls(self) -> None:
        self.asked["preloaded"] = True

    def InferenceSession(self, model: bytes, options: Any, **asked: Any) -> Any:
        self.asked |= asked
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        session.get_providers = lambda: list(self.starts)
        return session


@pytest.fixture
def gpu_build(monkeypatch: pytest.MonkeyPatch) -> GpuBuild:
    build = GpuBuild(("CUDAExecutionProvider", "CPUExecutionProvider"), {})
    monkeypatch.setitem(sys.modules, "onnxruntime", build)
    monkeypatch.setattr(onnxrt, "_runtime_errors", lambda: (RuntimeError,))
    return build


def test_cuda_is_asked_for_on_the_named_gpu(spec: ModelSpec, gpu_build: GpuBuild) -> None:
    engine = load_engine(spec, device="cuda:1")
    assert engine.served.device == "CUDA:1"
    assert gpu_build.asked["preloaded"]
    assert gpu_build.asked["enable_fallback"] == 0
    assert gpu_build.asked["providers"] == [
        ("CUDAExecutionProvider", {"device_id": 1}),
        "CPUExecutionProvider",
    ]


def test_a_provider_dropped_in_silence_is_an_error(spec: ModelSpec, gpu_build: GpuBuild) -> None:
    gpu_build.starts = ("CPUExecutionProvider",)
    with pytest.raises(ProviderError, match="started CPUExecutionProvider instead"):
        load_engine(spec, device="cuda")


def test_a_provider_dropped_in_silence_is_a_told_fallback_where_auto_chose_it(
    spec: ModelSpec, gpu_build: GpuBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_build.starts = ("CPUExecutionProvider",)
    pretend(monkeypatch, nvidia_gpus=("NVIDIA X",))
    engine = load_engine(spec, "auto", threads=1)
    assert engine.served.device == "CPU"
    assert "started CPUExecutionProvider instead" in str(engine.served.fallback)
    engine.close()


def test_tensorrt_is_given_a_profile_and_no_plans_from_the_disk(
    tmp_path: Path, gpu_build: GpuBuild
) -> None:
    gpu_build.starts = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    path = constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2), batch="n")
    engine = load_engine(recognise(path), device="tensorrt")
    assert engine.served.device == "TensorRT:0"
    name, options = gpu_build.asked["providers"][0]
    assert name == "TensorrtExecutionProvider"
    assert options["trt_engine_cache_enable"] is False
    assert options["trt_profile_max_shapes"] == "sightline_bgr:16x64x64x3"


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
@pytest.mark.parametrize("batch", [1, "n"])
def test_a_real_gpu_answers_as_the_processor_does(
    tmp_path: Path, device: str, batch: int | str
) -> None:
    reason = onnxrt.missing_provider(parse_device(device))
    if not nvidia_gpus() or reason:
        pytest.skip(reason or "no NVIDIA GPU")
    spec = recognise(constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2), batch=batch))
    tensor = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    gpu, cpu = load_engine(spec, device=device), load_engine(spec, "onnxruntime", device="cpu")
    np.testing.assert_allclose(gpu.infer(tensor)[0], cpu.infer(tensor)[0], rtol=1e-2, atol=1e-2)
    gpu.close()
    cpu.close()


def test_openvino_here_is_the_real_one() -> None:
    if ov.missing_openvino():
        missing("OpenVINO")
