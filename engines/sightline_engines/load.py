"""Choose an engine for a model: the one place where runtimes are picked."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Literal, get_args

from sightline_engines.device import CPU, Device, nvidia_gpus, parse_device
from sightline_engines.errors import ModelFileError, ProviderError
from sightline_engines.onnxrt import load_onnxruntime, missing_provider
from sightline_engines.ov import load_openvino, missing_openvino
from sightline_engines.pace import fastest
from sightline_engines.passport_check import missing_tensorrt
from sightline_engines.triton.options import TritonOptions
from sightline_engines.trt import load_tensorrt
from sightline_engines.types import Engine, Format, ModelSpec

LocalEngine = Literal["auto", "onnxruntime", "openvino", "tensorrt"]
EngineName = Literal["auto", "onnxruntime", "openvino", "tensorrt", "triton"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
CUDA = Device("cuda")


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """One way to run a model here, and why it can or can't be taken."""

    name: Literal["onnxruntime", "openvino", "tensorrt"]
    device: Literal["cuda", "cpu"]  # as `load_engine` takes it
    available: bool
    why: str


def load_engine(
    spec: ModelSpec,
    engine: EngineName = "auto",
    *,
    device: str | None = None,
    threads: int | None = None,
    triton: TritonOptions | None = None,
) -> Engine:
    """Load a model and run it once; blocks for up to seconds, with TensorRT's provider minutes.

    What is asked for by name is used or ProviderError is raised. What is left open is
    chosen, and `served.fallback` says why where it isn't the best this machine could do.
    A TensorRT plan runs where it was built, or ProviderError says what differs. `triton` is the
    server that the engine triton asks.
    """
    if engine not in ENGINES:
        raise ProviderError(f"There is no engine {engine!r}; known are {', '.join(ENGINES)}.")
    if engine == "triton":
        from sightline_engines.triton.standby import load_remote

        return load_remote(spec, triton, threads=threads)
    wanted = parse_device(device) if device is not None else None
    match spec.format:
        case Format.ONNX:
            return _load_onnx(spec, engine, wanted, threads)
        case Format.OPENVINO:
            _refuse_others(spec, engine, "openvino", "OpenVINO IR runs on OpenVINO")
            return _load_openvino(spec, wanted, threads)
        case Format.TENSORRT:
            _refuse_others(spec, engine, "tensorrt", "a plan runs on TensorRT")
            return load_tensorrt(spec, wanted)
        case Format.TORCH:
            raise ModelFileError(
                f"{spec.path.name} is a PyTorch checkpoint, which is never run: convert it to ONNX."
            )


def _load_onnx(
    spec: ModelSpec, engine: LocalEngine, wanted: Device | None, threads: int | None
) -> Engine:
    match engine:
        case "tensorrt":
            raise ProviderError(
                f"{spec.path.name} is ONNX; the engine tensorrt runs plans: convert it to tensorrt "
                "first. Unconverted it runs on ONNX Runtime's TensorRT: engine onnxruntime, device "
                "tensorrt."
            )
        case "openvino":
            return _load_openvino(spec, wanted, threads)
        case "onnxruntime" if wanted is not None:
            return load_onnxruntime(spec, wanted, threads=threads)
        case "onnxruntime":
            return _first_that_loads(spec, ("onnxruntime",), None, threads)
        case "auto" if wanted not in (None, CPU):
            return load_onnxruntime(spec, wanted or CUDA, threads=threads)
        case "auto":
            return _first_that_loads(spec, ("onnxruntime", "openvino"), wanted, threads)


def _load_openvino(spec: ModelSpec, wanted: Device | None, threads: int | None) -> Engine:
    if wanted not in (None, CPU):
        raise ProviderError(f"OpenVINO runs on the CPU here; for {wanted} choose onnxruntime.")
    return load_openvino(spec, threads=threads)


def _refuse_others(spec: ModelSpec, engine: LocalEngine, only: LocalEngine, why: str) -> None:
    """Raise ProviderError for an engine that doesn't read a file's format."""
    if engine not in ("auto", only):
        raise ProviderError(
            f"{spec.path.name} can't run on {engine}: {why} alone. Take engine {only} or auto, or "
            "the model's ONNX file."
        )


def engine_choices() -> list[EngineChoice]:
    """Return the ways to run a model; auto takes a GPU, else the faster on the processor.

    TensorRT is for plans alone, which run on nothing else.
    """
    return [_cuda_choice(), _openvino_choice(), _cpu_choice(), _tensorrt_choice()]


def _first_that_loads(
    spec: ModelSpec, names: tuple[str, ...], device: Device | None, threads: int | None
) -> Engine:
    """Load the best choice that starts; each better one that failed goes into `fallback`.

    A GPU is better than the processor. On the processor the runtimes are tried against each
    other: which is faster depends on the model, the threads and the make of the processor.
    """
    regrets: list[str] = []
    failure: ModelFileError | ProviderError | None = None
    loaded: list[Engine] = []
    for choice in engine_choices():
        place = parse_device(choice.device)
        if choice.name not in names or device not in (None, place):
            continue
        if not choice.available:
            if _is_regret(choice):
                regrets.append(choice.why)
            continue
        fallback = " ".join(regrets) or None
        try:
            if choice.name == "openvino":
                loaded.append(load_openvino(spec, threads=threads, fallback=fallback))
            else:
                loaded.append(load_onnxruntime(spec, place, threads=threads, fallback=fallback))
        except (ModelFileError, ProviderError) as error:
            failure = error
            regrets.append(error.message)
        if loaded and place != CPU:
            break
    if not loaded:
        raise failure or ProviderError(f"No engine can run here. {' '.join(regrets)}")
    return fastest(loaded)


def _is_regret(choice: EngineChoice) -> bool:
    """Tell whether this machine could have run a choice, had it been set up for it."""
    return bool(nvidia_gpus()) if choice.device == "cuda" else _is_x86()


def _cuda_choice() -> EngineChoice:
    gpus = nvidia_gpus()
    missing = missing_provider(CUDA)
    if not gpus:
        why = "No NVIDIA GPU is seen; if there is one, install its driver."
    elif missing:
        why = f"{gpus[0]} is here, but {missing}."
    else:
        why = f"{gpus[0]} is here and ONNX Runtime has CUDA."
    return EngineChoice("onnxruntime", "cuda", bool(gpus) and missing is None, why)


def _openvino_choice() -> EngineChoice:
    missing = missing_openvino()
    if missing:
        why = f"OpenVINO may be faster on an x86 processor, but {missing}."
    elif not _is_x86():
        why = f"OpenVINO is the faster one on x86 only; this is {platform.machine()}."
    else:
        why = "OpenVINO runs on x86 processors."
    return EngineChoice("openvino", "cpu", missing is None and _is_x86(), why)


def _cpu_choice() -> EngineChoice:
    missing = missing_provider(CPU)
    why = f"ONNX Runtime: {missing}." if missing else "ONNX Runtime runs on every processor."
    return EngineChoice("onnxruntime", "cpu", missing is None, why)


def _tensorrt_choice() -> EngineChoice:
    missing = missing_tensorrt()
    why = f"TensorRT runs plans, but {missing}." if missing else "TensorRT runs plans built here."
    return EngineChoice("tensorrt", "cuda", missing is None, why)


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64", "x86", "i686")
