"""A GPU in numpy: cuda-python's runtime, as far as Sightline calls it.

Copies and runs wait in the stream until it is synchronised, as on a GPU; while a stream is being
captured they go into the graph instead. Memory is counted, and what touches freed memory fails.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

STREAM = 7


class Status(IntEnum):
    """The statuses that the fake gives."""

    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorStreamCaptureInvalidated = 901


class CopyKind(IntEnum):
    """Ways to copy."""

    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


@dataclass
class FakeCuda:
    """The module `cuda.bindings.runtime`, with a record of what was asked of it."""

    fails: dict[str, Status] = field(default_factory=dict)  # by call
    calls: list[str] = field(default_factory=list)
    memory: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    pinned: set[int] = field(default_factory=set)
    streams: set[int] = field(default_factory=set)
    graphs: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    queue: list[Callable[[], None]] = field(default_factory=list)
    capturing: list[Callable[[], None]] | None = None
    device: int = -1
    bus_ids: tuple[bytes, ...] = (b"0000:01:00.0", b"0000:02:00.0")

    cudaError_t: ClassVar[Any] = Status
    cudaMemcpyKind: ClassVar[Any] = CopyKind
    cudaStreamCaptureMode: ClassVar[Any] = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaStreamNonBlocking: ClassVar[int] = 1
    cudaHostAllocDefault: ClassVar[int] = 0

    def _status(self, call: str) -> Status:
        self.calls.append(call)
        return self.fails.get(call, Status.cudaSuccess)

    def put(self, work: Callable[[], None]) -> None:
        """Put work into the stream, or into the graph that is being recorded."""
        (self.queue if self.capturing is None else self.capturing).append(work)

    def held(self) -> int:
        """Return how many things are not given back."""
        return len(self.memory) + len(self.streams) + len(self.graphs)

    def at(self, address: int, size: int) -> NDArray[np.uint8]:
        """Return memory that is allocated, else fail."""
        for start, block in self.memory.items():
            if start <= address and address + size <= start + block.nbytes:
                return block[address - start : address - start + size]
        raise AssertionError(f"{size} bytes at {address} are not allocated")

    def _allocate(self, call: str, size: int) -> tuple[Status, int | None]:
        status = self._status(call)
        if status:
            return status, None
        block = np.full(size, 0xA5, np.uint8)
        self.memory[block.ctypes.data] = block
        return status, block.ctypes.data

    def cudaMalloc(self, size: int) -> tuple[Status, int | None]:
        return self._allocate("cudaMalloc", size)

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Status, int | None]:
        status, address = self._allocate("cudaHostAlloc", size)
        if address is not None:
            self.pinned.add(address)
        return status, address

    def cudaFree(self, address: int) -> tuple[Status]:
        assert address not in self.pinned
        del self.memory[address]
        return (self._status("cudaFree"),)

    def cudaFreeHost(self, address: int) -> tuple[Status]:
        self.pinned.remove(address)
        del self.memory[address]
        return (self._status("cudaFreeHost"),)

    def cudaSetDevice(self, device: int) -> tuple[Status]:
        self.device = device
        return (self._status("cudaSetDevice"),)

    def cudaDeviceGetPCIBusId(self, length: int, device: int) -> tuple[Status, bytes | None]:
        status = self._status("cudaDeviceGetPCIBusId")
        if device >= len(self.bus_ids):
            return Status.cudaErrorInvalidValue, None
        return status, None if status else self.bus_ids[device].ljust(length, b"\0")

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Status, int | None]:
        status = self._status("cudaStreamCreateWithFlags")
        if status:
            return status, None
        self.streams.add(STREAM)
        return status, STREAM

    def cudaStreamDestroy(self, stream: int) -> tuple[Status]:
        self.streams.remove(stream)
        return (self._status("cudaStreamDestroy"),)

    def cudaMemcpyAsync(
        self, target: int, source: int, size: int, kind: CopyKind, stream: int
    ) -> tuple[Status]:
        assert stream in self.streams
        host = source if kind is CopyKind.cudaMemcpyHostToDevice else target
        assert any(host >= start for start in self.pinned)
        self.at(source, size)
        self.at(target, size)
        status = self._status("cudaMemcpyAsync")
        if not status:
            self.put(lambda: self._copy(target, source, size))
        return (status,)

    def _copy(self, target: int, source: int, size: int) -> None:
        ctypes.memmove(self.at(target, size).ctypes.data, self.at(source, size).ctypes.data, size)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Status]:
        status = self._status("cudaStreamSynchronize")
        assert self.capturing is None
        waiting, self.queue = self.queue, []
        if not status:
            for work in waiting:
                work()
        return (status,)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[Status]:
        status = self._status("cudaStreamBeginCapture")
        if not status:
            self.capturing = []
        return (status,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Status, int | None]:
        status = self._status("cudaStreamEndCapture")
        recorded, self.capturing = self.capturing, None
        if status or recorded is None:
            return status or Status.cudaErrorInvalidValue, None
        return status, self._keep(recorded)

    def _keep(self, work: list[Callable[[], None]]) -> int:
        number = 1 + max(self.graphs, default=100)
        self.graphs[number] = work
        return number

    def cudaGraphInstantiate(self, graph: int, flags: int) -> tuple[Status, int | None]:
        status = self._status("cudaGraphInstantiate")
        return status, None if status else self._keep(list(self.graphs[graph]))

    def cudaGraphDestroy(self, graph: int) -> tuple[Status]:
        del self.graphs[graph]
        return (self._status("cudaGraphDestroy"),)

    def cudaGraphExecDestroy(self, graph: int) -> tuple[Status]:
        del self.graphs[graph]
        return (self._status("cudaGraphExecDestroy"),)

    def cudaGraphLaunch(self, graph: int, stream: int) -> tuple[Status]:
        status = self._status("cudaGraphLaunch")
        if not status:
            for work in self.graphs[graph]:
                self.put(work)
        return (status,)

    def cudaGetLastError(self) -> tuple[Status]:
        return (self._status("cudaGetLastError"),)

    def cudaGetErrorName(self, status: Status) -> tuple[Status, bytes]:
        return Status.cudaSuccess, Status(status).name.encode()

    def cudaGetErrorString(self, status: Status) -> tuple[Status, bytes]:
        no_memory = status == Status.cudaErrorMemoryAllocation
        return Status.cudaSuccess, b"out of memory" if no_memory else b"something else"
