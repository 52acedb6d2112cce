"""Memory that the server writes a batch's pictures into and its worker reads them from."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import TypeAlias

import numpy as np

from sightline_engines.types import Image

Span: TypeAlias = tuple[int, int, int, int]  # offset, length, height and width; 0, 0: encoded


class Arena:
    """One shared mapping, filled anew for each batch.

    Through the socket a frame would be copied four times more, twice of it by the kernel.
    """

    def __init__(self, fd: int, size: int) -> None:
        """Map `size` bytes of an open file; both ends do so."""
        self.fd = fd
        self.size = size
        self._memory = mmap.mmap(fd, size)
        self._view = memoryview(self._memory)
        self._used = 0

    @classmethod
    def create(cls, size: int) -> Arena:
        """Return a new one; its pages cost memory only once they are written."""
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("sightline-frames", os.MFD_CLOEXEC)
        else:  # macOS: a file without a name
            with tempfile.TemporaryFile() as file:
                fd = os.dup(file.fileno())
        os.ftruncate(fd, size)
        return cls(fd, size)

    def clear(self) -> None:
        """Forget the last batch."""
        self._used = 0

    def put(self, picture: bytes | memoryview | Image) -> Span:
        """Copy a picture in, encoded or as pixels; raises ValueError when there is no room."""
        height, width = picture.shape[:2] if isinstance(picture, np.ndarray) else (0, 0)
        data = picture.reshape(-1).data if isinstance(picture, np.ndarray) else picture
        start, end = self._used, self._used + len(data)
        if end > self.size:
            raise ValueError(f"{end} bytes of pictures, and room for {self.size}")
        self._view[start:end] = data
        self._used = end
        return start, len(data), height, width

    def get(self, span: Span) -> memoryview | Image:
        """Return a picture without copying it; it holds until the next batch."""
        offset, length, height, width = span
        data = self._view[offset : offset + length]
        if not height:
            return data
        return np.frombuffer(data, np.uint8).reshape(height, width, 3)

    def close(self) -> None:
        """Give the memory back; the file goes when its last user does."""
        self._view.release()
        self._memory.close()
        os.close(self.fd)
