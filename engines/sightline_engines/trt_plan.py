"""A TensorRT plan that was read: every call of TensorRT's runtime that there is.

Plans are read and run with the API that TensorRT 10 and 11 share (tests/engines/trt_surface.json).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sightline_engines.errors import EngineError, ModelFileError, ProviderError, engine_error
from sightline_engines.graph import INPUT_NAME
from sightline_engines.trt_memory import Buffer, CudaStream
from sightline_engines.types import ModelSpec


class Log:
    """The last errors that TensorRT wrote, which are all it says of a failure."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=8)

    def add(self, line: str) -> None:
        """Keep a line."""
        self._lines.append(line.strip())

    def take(self) -> str:
        """Return what was written since the last time."""
        said = " ".join(self._lines) or "it gave no reason"
        self._lines.clear()
        return said


def start(make: Callable[[Any, Any], Any]) -> tuple[Any, Log, Any, Any]:
    """Return the module, its log, its logger, and what `make` makes of the module and the logger.

    Raises ProviderError where TensorRT doesn't load or start.
    """
    try:
        import tensorrt as trt
    except ImportError as error:
        raise ProviderError(f"TensorRT doesn't load: {error}.") from error
    log = Log()
    told = _logger(trt, log)
    try:
        return trt, log, told, make(trt, told)
    except (TypeError, RuntimeError) as error:  # the first is what its bindings raise for nothing
        raise ProviderError(f"TensorRT doesn't start: {log.take()}.") from error


def _logger(trt: Any, log: Log) -> Any:
    """Return a logger for TensorRT that keeps errors in `log` and drops the rest."""

    class _Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                log.add(msg)

    return _Logger()


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A deserialised plan, its memory and the stream that it runs on."""

    trt: Any
    log: Log
    engine: Any
    stream: CudaStream
    profiles: tuple[tuple[int, int], ...]  # the smallest and the largest batch of each
    static: bool  # takes exactly max_batch pictures
    size_wh: tuple[int, int]
    workspace: tuple[int, int]  # address and bytes that all contexts work in, one at a time
    kept: tuple[Any, ...]  # TensorRT uses them for as long as the engine lives

    @property
    def max_batch(self) -> int:
        """The most pictures at once."""
        return max(largest for _, largest in self.profiles)

    def context(self, count: int) -> Any:
        """Return an execution context that is set to a batch size, in the profile made for it."""
        strategy = self.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self.engine.create_execution_context(strategy)
        if context is None:
            raise self.failure()
        address, size = self.workspace
        if size:
            context.set_device_memory(address, size)
        if self.static:
            return context
        fits = (at for at, (low, high) in enumerate(self.profiles) if low <= count <= high)
        profile, (width, height) = next(fits), self.size_wh
        if not context.set_optimization_profile_async(profile, self.stream.handle):
            raise self.failure()
        if not context.set_input_shape(INPUT_NAME, (count, height, width, 3)):
            raise self.failure()
        return context

    def bind(self, context: Any, buffers: tuple[Buffer, ...]) -> None:
        """Tell a context where its tensors lie."""
        for buffer in buffers:
            if not context.set_tensor_address(buffer.name, buffer.device):
                raise self.failure()

    def enqueue(self, context: Any) -> None:
        """Put a context's run into the stream."""
        if not context.execute_async_v3(self.stream.handle):
            raise self.failure()

    def buffers(self, spec: ModelSpec) -> tuple[Buffer, ...]:
        """Reserve the input and the outputs for the largest batch."""
        context = self.context(self.max_batch)
        width, height = self.size_wh
        found = [
            self.stream.buffer(INPUT_NAME, (self.max_batch, height, width, 3), "uint8"),
        ]
        for name in _names(self.trt, self.engine, self.trt.TensorIOMode.OUTPUT):
            shape = tuple(context.get_tensor_shape(name))
            if not shape or shape[0] != self.max_batch or min(shape) < 1:
                raise ModelFileError(
                    f"{spec.path.name}: the output '{name}' is {list(shape)} for a batch of "
                    f"{self.max_batch}; supported are outputs of a fixed size a picture."
                )
            dtype = self.trt.nptype(self.engine.get_tensor_dtype(name))
            found.append(self.stream.buffer(name, shape, dtype))
        return tuple(found)

    def failure(self) -> EngineError:
        """Return the error for a call that failed."""
        return engine_error("TensorRT", RuntimeError(self.log.take()))


def read_plan(data: bytes, spec: ModelSpec, stream: CudaStream) -> Plan:
    """Deserialise a plan whose bytes are trusted, with a driver present.

    Raises ModelFileError for a plan that isn't one of ours, ProviderError without TensorRT.
    """
    trt, log, told, runtime = start(lambda trt, told: trt.Runtime(told))
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise ModelFileError(f"TensorRT can't read {spec.path.name}: {log.take()}")
    inputs = _names(trt, engine, trt.TensorIOMode.INPUT)
    if inputs != [INPUT_NAME]:
        raise ModelFileError(
            f"{spec.path.name} has the inputs {', '.join(inputs) or 'none'}; a plan of Sightline "
            f"has {INPUT_NAME}. Convert the ONNX file again."
        )
    shape = tuple(engine.get_tensor_shape(INPUT_NAME))
    static = shape[0] > 0
    bounds = [
        engine.get_tensor_profile_shape(INPUT_NAME, profile)
        for profile in range(engine.num_optimization_profiles)
    ]
    largest = tuple(bounds[-1][-1])
    width, height = spec.input_size_wh
    if largest[1:] != (height, width, 3):
        raise ModelFileError(
            f"{spec.path.name} takes pictures of {largest[2]}x{largest[1]}, not {width}x{height}. "
            "Convert the ONNX file again."
        )
    size = int(engine.device_memory_size_v2)
    workspace = (stream.reserve(size) if size else 0, size)
    kept = (runtime, told)
    profiles = tuple((int(low[0]), int(high[0])) for low, _, high in bounds)
    return Plan(trt, log, engine, stream, profiles, static, (width, height), workspace, kept)


def _names(trt: Any, engine: Any, mode: Any) -> list[str]:
    """Return the names of a plan's inputs or outputs."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    return [name for name in names if engine.get_tensor_mode(name) == mode]
