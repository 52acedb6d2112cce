"""The ONNX Runtime engine: CPU, CUDA and TensorRT providers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sightline_engines.chunks import run_in_chunks
from sightline_engines.device import Device
from sightline_engines.errors import (
    EngineError,
    EngineMemoryError,
    ModelFileError,
    ProviderError,
    engine_error,
)
from sightline_engines.graph import INPUT_NAME, uint8_graph
from sightline_engines.heads import check_output
from sightline_engines.runtimes import import_onnxruntime
from sightline_engines.types import ModelSpec, RawOutput, ServedModel, Tensor

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_MAX_BATCH = 16  # pictures a call of a dynamic model; larger batches go in several
_ERRORS_ONLY = 3


class OnnxRuntimeEngine:
    """Runs one model in one ONNX Runtime session; made by `load_onnxruntime`."""

    def __init__(self, spec: ModelSpec, served: ServedModel, session: Any) -> None:
        self._spec = spec
        self._served = served
        self._session = session

    @property
    def spec(self) -> ModelSpec:
        """The model that runs."""
        return self._spec

    @property
    def served(self) -> ServedModel:
        """What answers, for showing."""
        return self._served

    def infer(self, tensor: Tensor) -> RawOutput:
        """Run a batch of 1..n pictures.

        Raises EngineError when the runtime fails, EngineMemoryError when for lack of memory.
        """
        size = self._spec.static_batch
        return run_in_chunks(self._run, tensor, size or _MAX_BATCH, padded=size is not None)

    def close(self) -> None:
        """Give the session's memory back; the engine can't run afterwards."""
        self._session = None

    def _run(self, tensor: Tensor) -> RawOutput:
        if self._session is None:
            raise EngineError("The engine is closed.")
        try:
            outputs = self._session.run(None, {INPUT_NAME: tensor})
        except _runtime_errors() as error:
            raise engine_error("ONNX Runtime", error) from error
        # The runtime reads the tensor where it lies and gives arrays of its own away.
        return tuple(np.asarray(output, np.float32) for output in outputs)


def load_onnxruntime(
    spec: ModelSpec, device: Device, *, threads: int | None = None, fallback: str | None = None
) -> OnnxRuntimeEngine:
    """Start a session on exactly the asked device and run it once.

    Raises ProviderError where the device isn't to be had, ModelFileError for a model that
    doesn't run. `fallback` is passed on to `served`.
    """
    model = uint8_graph(spec, cast_first=device.kind == "tensorrt")
    session = _session(spec, model, device, threads)
    served = ServedModel(
        spec.name, spec.version, "onnxruntime", spec.precision, str(device), fallback
    )
    engine = OnnxRuntimeEngine(spec, served, session)
    width, height = spec.input_size_wh
    try:  # the first run allocates, and builds where TensorRT is asked for
        check_output(engine.infer(np.zeros((1, height, width, 3), np.uint8)), spec)
    except EngineMemoryError:  # with fewer models in memory it may run
        raise
    except EngineError as error:
        raise ModelFileError(f"{spec.path.name} doesn't run: {error.message}") from error
    return engine


def missing_provider(device: Device) -> str | None:
    """Return why ONNX Runtime can't use a device, None where its build can."""
    try:
        onnxruntime = import_onnxruntime()
    except ProviderError as error:
        return error.message.removesuffix(".")
    if _PROVIDERS[device.kind] in onnxruntime.get_available_providers():
        return None
    return (
        f"this ONNX Runtime {onnxruntime.__version__} is built without {_PROVIDERS[device.kind]}; "
        "install sightline-engines[onnx-gpu] in place of [onnx]"
    )


def _session(spec: ModelSpec, model: bytes, device: Device, threads: int | None) -> Any:
    reason = missing_provider(device)
    if reason:
        raise ProviderError(f"{device} was asked for, but {reason}.")
    onnxruntime = import_onnxruntime()
    if device.kind != "cpu":
        onnxruntime.preload_dlls()  # CUDA and cuDNN from NVIDIA's wheels, where they are
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads or 0
    # Spinning threads starve the server's own: measured 1.8 times slower on shared cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            model, options, providers=_providers(device, spec), enable_fallback=0
        )
    except _runtime_errors() as error:
        failure = engine_error("ONNX Runtime", error)
        if isinstance(failure, EngineMemoryError):
            raise failure from error
        if device.kind == "cpu":
            raise ModelFileError(f"ONNX Runtime can't run {spec.path.name}: {error}") from error
        raise ProviderError(f"{device} was asked for, but it didn't start: {error}") from error
    started = session.get_providers()
    if started[0] != _PROVIDERS[device.kind]:  # dropped with no more than a line in the log
        raise ProviderError(
            f"{device} was asked for, but ONNX Runtime started {started[0]} instead. "
            "See that the NVIDIA driver, CUDA and cuDNN fit this onnxruntime-gpu."
        )
    session.disable_fallback()
    return session


def _providers(device: Device, spec: ModelSpec) -> Sequence[Any]:
    cuda = ("CUDAExecutionProvider", {"device_id": device.index})
    cpu = "CPUExecutionProvider"
    match device.kind:
        case "cpu":
            return [cpu]
        case "cuda":
            return [cuda, cpu]
        case "tensorrt":
            return [("TensorrtExecutionProvider", _tensorrt(device, spec)), cuda, cpu]


def _tensorrt(device: Device, spec: ModelSpec) -> dict[str, object]:
    """Return the provider's options: one optimisation profile, no plans from the disk."""
    options: dict[str, object] = {
        "device_id": device.index,
        "trt_engine_cache_enable": False,  # a plan is an executable: none is loaded from a file
        "trt_fp16_enable": spec.precision == "fp16",
    }
    if spec.static_batch is None:  # without a profile each new batch size is a build of minutes
        width, height = spec.input_size_wh
        for bound, batch in (("min", 1), ("opt", 4), ("max", _MAX_BATCH)):
            options[f"trt_profile_{bound}_shapes"] = f"{INPUT_NAME}:{batch}x{height}x{width}x3"
    return options


def _runtime_errors() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: its own classes share no base but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    named = ("EPFail", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf")
    more = ("NotImplemented", "RuntimeException", "NoSuchFile", "NoModel", "EngineError")
    found = [getattr(state, name) for name in (*named, *more) if hasattr(state, name)]
    return (*found, RuntimeError, ValueError, MemoryError)
