"""Memory that we and a Triton on the same machine have in common: POSIX shared memory, CUDA's."""

from __future__ import annotations

import fcntl
import logging
import math
import mmap
import os
import re
import secrets
import time
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sightline_engines.errors import EngineAwayError, EngineError, ProviderError
from sightline_engines.triton.client import Client
from sightline_engines.triton.facts import Array

FOLDER = Path("/dev/shm")  # noqa: S108  where Linux keeps POSIX shared memory
_NAME = re.compile(r"sightline-\d+-[0-9a-f]{8}")
_CUDA_DEVICE = 0
FORGET_S, _AGAIN_S = 1.5, 0.05  # for a server to forget regions in all, and between two tries

log = logging.getLogger(__name__)


class Region(Protocol):
    """Memory for one tensor; `tensors.Region`, and how it is made known."""

    name: str
    size: int

    def write(self, array: Array) -> None:
        """Copy an array to its start."""
        ...

    def read(self, offset: int, kind: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """Return a copy of an array in it."""
        ...

    def register(self, client: Client, timeout_s: float) -> None:
        """Tell the server of it."""
        ...

    def unregister(self, client: Client, timeout_s: float) -> None:
        """Have the server forget it."""
        ...

    def close(self) -> None:
        """Give it back; what the server still has mapped lives on there."""
        ...


class SystemRegion:
    """A file in shared memory, locked for as long as its owner lives."""

    def __init__(self, size: int) -> None:
        """Reserve it; raises ProviderError where there isn't room for it."""
        self.size = size
        self.name, self._fd = _created()
        try:
            os.posix_fallocate(self._fd, 0, size)  # else the first write would end the process
            self._memory = mmap.mmap(self._fd, size)
        except OSError as error:
            os.close(self._fd)
            _unlink(self.name)
            raise ProviderError(
                f"There is no room for {size} bytes of shared memory ({error.strerror}): give the "
                "container more of it (--shm-size), or set SIGHTLINE_TRITON_TRANSPORT=tensors."
            ) from error

    def write(self, array: Array) -> None:
        """Copy an array to its start."""
        np.ndarray(array.shape, array.dtype, self._memory)[...] = array

    def read(self, offset: int, kind: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """Return a copy of an array in it; ValueError for one that reaches beyond its end."""
        _check(self, offset, kind, shape)
        return np.ndarray(shape, kind, self._memory, offset).copy()

    def register(self, client: Client, timeout_s: float) -> None:
        """Tell the server of it; raises TritonError where that has other shared memory."""
        client.register_system(self.name, f"/{self.name}", self.size, timeout_s)

    def unregister(self, client: Client, timeout_s: float) -> None:
        """Have the server forget it."""
        client.unregister(self.name, timeout_s=timeout_s)

    def close(self) -> None:
        """Unlink it."""
        _unlink(self.name)
        self._memory.close()
        os.close(self._fd)


class CudaRegion:
    """Memory of the first GPU."""

    def __init__(self, size: int) -> None:
        """Reserve it; raises ProviderError without a GPU or CUDA's Python bindings."""
        self.size = size
        self.name = f"sightline-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            from tritonclient.utils import cuda_shared_memory as cuda

            self._handle = cuda.create_shared_memory_region(self.name, size, _CUDA_DEVICE)
        except Exception as error:  # it imports with an error of its own, and CUDA has others
            raise ProviderError(
                f"CUDA shared memory can't be had ({error}): it needs an NVIDIA GPU that Triton "
                "uses, too, and sightline-engines[tensorrt] for CUDA's bindings. "
                "SIGHTLINE_TRITON_TRANSPORT=tensors works everywhere."
            ) from error
        self._cuda = cuda

    def write(self, array: Array) -> None:
        """Copy an array to its start."""
        try:
            self._cuda.set_shared_memory_region(self._handle, [array])
        except self._cuda.CudaSharedMemoryException as error:
            raise EngineError(f"A picture can't be copied to the GPU: {error}.") from error

    def read(self, offset: int, kind: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """Return a copy of an array in it; ValueError for one that reaches beyond its end."""
        _check(self, offset, kind, shape)
        try:
            found = self._cuda.get_contents_as_numpy(self._handle, kind, shape)
        except self._cuda.CudaSharedMemoryException as error:
            raise EngineError(f"An answer can't be copied from the GPU: {error}.") from error
        return np.array(found)

    def register(self, client: Client, timeout_s: float) -> None:
        """Tell the server of it."""
        handle = b64decode(self._cuda.get_raw_handle(self._handle))
        client.register_cuda(self.name, handle, _CUDA_DEVICE, self.size, timeout_s)

    def unregister(self, client: Client, timeout_s: float) -> None:
        """Have the server forget it."""
        client.unregister(self.name, cuda=True, timeout_s=timeout_s)

    def close(self) -> None:
        """Give the GPU's memory back."""
        self._cuda.destroy_shared_memory_region(self._handle)
        del self._handle


def sweep(client: Client | None = None) -> int:
    """Unlink what owners left behind who were killed; returns how many regions that were.

    The client's server is told to forget them, too: else it keeps their memory until it ends.
    Their locks tell, not their process numbers: containers that share memory each count anew.
    """
    swept: list[str] = []
    try:
        found = [path for path in FOLDER.iterdir() if _NAME.fullmatch(path.name)]
    except OSError:
        return 0
    for path in found:
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            swept.append(path.name)
    if client is not None:
        _forget_all(client, swept)
    return len(swept)


def _forget_all(client: Client, names: list[str]) -> None:
    end_s = time.monotonic() + FORGET_S
    for name in names:
        unregister = partial(client.unregister, name, False)
        if not forgotten(unregister, end_s):
            return


def forgotten(unregister: Callable[[float], None], end_s: float) -> bool:
    """Have a server forget a region, which it holds on to for a moment after an answer.

    `unregister` is given the seconds it may take. Returns whether there is sense in asking that
    server for more: one that is away has forgotten all, or will.
    """
    while True:
        try:
            unregister(max(_AGAIN_S, end_s - time.monotonic()))
        except EngineAwayError:
            return False
        except EngineError as error:
            if time.monotonic() + _AGAIN_S > end_s:
                log.warning(
                    "shared memory stays known to Triton until that ends: %s", error.message
                )
                return False
            time.sleep(_AGAIN_S)
        else:
            return True


def _created() -> tuple[str, int]:
    """Return a new region's name and file, locked."""
    while True:
        name = f"sightline-{os.getpid()}-{secrets.token_hex(4)}"
        path = FOLDER / name
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ProviderError(
                f"Shared memory can't be had ({error.strerror}); "
                "SIGHTLINE_TRITON_TRANSPORT=tensors works without."
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if path.stat().st_ino == os.fstat(fd).st_ino:
                return name, fd
        except OSError:  # swept by somebody before it was locked
            pass
        os.close(fd)


def _unlink(name: str) -> None:
    with suppress(OSError):
        (FOLDER / name).unlink()


def _check(region: Region, offset: int, kind: np.dtype[Any], shape: tuple[int, ...]) -> None:
    end = offset + math.prod(shape) * kind.itemsize
    if min(shape, default=0) < 0 or end > region.size:
        raise ValueError(f"{list(shape)} of {kind} doesn't lie in {region.size} bytes")
