"""What the TensorRT engine holds of a GPU: one stream, buffers on both sides, CUDA graphs.

Every call of cuda-python answers (status, value…); `_done` turns a bad status into an EngineError.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_engines.errors import EngineError, ProviderError, engine_error

_BUS_ID_BYTES = 32


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """One tensor's place in both memories; the first axis is the picture."""

    name: str
    host: NDArray[Any]  # page-locked, so that copies run beside the processor
    device: int  # an address on the GPU

    def bytes_of(self, count: int) -> int:
        """Return how many bytes so many pictures take."""
        return int(self.host[:count].nbytes)


class CudaStream:
    """A stream of one GPU and all that was reserved for it; made by `open_stream`.

    From one thread at a time, but from any: each call names its GPU first.
    """

    def __init__(self, api: Any, device: int) -> None:
        self._api = api
        self._device = device
        self._stream: Any = None
        self._free: list[Callable[[], Any]] = []  # in the order in which things were reserved

    @property
    def handle(self) -> int:
        """The stream's number, as TensorRT takes it."""
        return int(self._stream)

    def open(self) -> None:
        """Choose the GPU and make the stream."""
        self.choose()
        api = self._api
        self._stream = _done(api, api.cudaStreamCreateWithFlags(api.cudaStreamNonBlocking))
        self._free.append(lambda: api.cudaStreamDestroy(self._stream))

    def choose(self) -> None:
        """Make this GPU the calling thread's; CUDA keeps that by thread."""
        _done(self._api, self._api.cudaSetDevice(self._device))

    def reserve(self, size: int) -> int:
        """Return the address of so many bytes on the GPU; they are kept until `close`."""
        api = self._api
        address = int(_done(api, api.cudaMalloc(size)))
        self._free.append(lambda: api.cudaFree(address))
        return address

    def buffer(self, name: str, shape: tuple[int, ...], dtype: Any) -> Buffer:
        """Reserve a tensor on both sides."""
        api = self._api
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        address = int(_done(api, api.cudaHostAlloc(size, api.cudaHostAllocDefault)))
        self._free.append(lambda: api.cudaFreeHost(address))
        raw = (ctypes.c_uint8 * size).from_address(address)
        host = np.frombuffer(raw, dtype=kind).reshape(shape)
        return Buffer(name, host, self.reserve(size))

    def upload(self, buffer: Buffer, count: int) -> None:
        """Begin to copy so many pictures to the GPU."""
        api = self._api
        kind = api.cudaMemcpyKind.cudaMemcpyHostToDevice
        source, size = buffer.host.ctypes.data, buffer.bytes_of(count)
        _done(api, api.cudaMemcpyAsync(buffer.device, source, size, kind, self._stream))

    def download(self, buffer: Buffer, count: int) -> None:
        """Begin to copy so many pictures' answers back."""
        api = self._api
        kind = api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        target, size = buffer.host.ctypes.data, buffer.bytes_of(count)
        _done(api, api.cudaMemcpyAsync(target, buffer.device, size, kind, self._stream))

    def wait(self) -> None:
        """Block until all that was begun is done."""
        _done(self._api, self._api.cudaStreamSynchronize(self._stream))

    def capture(self, work: Callable[[], None]) -> Any | None:
        """Record what `work` puts into the stream as a graph, None where it can't be recorded.

        Nothing runs meanwhile. A network that waits for the GPU in its middle can't be recorded,
        nor is there always memory for a graph: it then runs without one.
        """
        api = self._api
        mode = api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        recorded: Any = None
        try:
            _done(api, api.cudaStreamBeginCapture(self._stream, mode))
            try:
                work()
            finally:  # else the stream takes no work any more
                status, recorded = api.cudaStreamEndCapture(self._stream)
            _done(api, (status,))
            graph = _done(api, api.cudaGraphInstantiate(recorded, 0))
        except EngineError:
            api.cudaGetLastError()  # forgets it: TensorRT would take it for one of its own
            return None
        finally:
            if recorded is not None:
                api.cudaGraphDestroy(recorded)
        self._free.append(lambda: api.cudaGraphExecDestroy(graph))
        return graph

    def launch(self, graph: Any) -> None:
        """Run a recorded graph."""
        _done(self._api, self._api.cudaGraphLaunch(graph, self._stream))

    def close(self) -> None:
        """Give everything back, last things first, whatever state the GPU is in."""
        api = self._api
        api.cudaSetDevice(self._device)
        if self._stream is not None:
            api.cudaStreamSynchronize(self._stream)
        while self._free:
            self._free.pop()()
        self._stream = None


def open_stream(device: int) -> CudaStream:
    """Make a stream on a GPU; raises ProviderError where CUDA doesn't start."""
    stream = CudaStream(cuda_runtime(), device)
    try:
        stream.open()
    except EngineError as error:
        raise ProviderError(f"CUDA doesn't start on GPU {device}: {error.message}") from error
    return stream


def gpu_bus_id(device: int) -> str:
    """Return where the GPU that CUDA counts so is plugged in; makes no context.

    Raises ProviderError where there is no such GPU.
    """
    api = cuda_runtime()
    try:
        told: bytes = _done(api, api.cudaDeviceGetPCIBusId(_BUS_ID_BYTES, device))
    except (EngineError, RuntimeError) as error:  # cuda-python 12 raises where libcuda is missing
        raise ProviderError(f"CUDA doesn't start on GPU {device}: {error}") from error
    return told.split(b"\0")[0].decode()


def cuda_runtime() -> Any:
    """Return cuda-python's module of the runtime API, under its new name or the old one."""
    try:
        from cuda.bindings import runtime
    except ImportError:
        try:
            from cuda import cudart as runtime
        except ImportError as error:
            raise ProviderError(
                f"cuda-python isn't installed ({error}); install sightline-engines[tensorrt]."
            ) from error
    return runtime


def _done(api: Any, answer: tuple[Any, ...]) -> Any:
    """Return what a call gave; raises EngineError, for lack of memory EngineMemoryError."""
    status, *values = answer
    if status == api.cudaError_t.cudaSuccess:
        return values[0] if values else None
    _, name = api.cudaGetErrorName(status)
    _, text = api.cudaGetErrorString(status)
    said = " ".join(part.decode() for part in (name, text) if part)
    raise engine_error("CUDA", RuntimeError(said))
