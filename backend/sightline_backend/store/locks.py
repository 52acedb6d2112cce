"""Locks between processes: on files of models in use, and on a folder that is set up.

They are the system's own (flock), so they end with the process that holds them, however it
ends. Windows has none of that kind; there a file that a process has open can't be deleted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline_backend.errors import InUseError

if sys.platform != "win32":
    import fcntl


@contextmanager
def locked(folder: Path, name: str = ".lock") -> Iterator[None]:
    """Be the only one that changes a folder, waiting for who does; not reentrant.

    `name` is the lock's file: who may come to hold two of a folder takes different ones.
    """
    handle = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if sys.platform != "win32":
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Keep a file or folder from being removed during the block; many may do so at once.

    Raises FileNotFoundError if it isn't there, or was removed in the meantime.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        if sys.platform != "win32":
            fcntl.flock(handle, fcntl.LOCK_SH)
        _check_same(handle, path)
        yield
    finally:
        os.close(handle)


@contextmanager
def unused(path: Path) -> Iterator[None]:
    """Keep a file or folder from being used during the block, so that it can be removed.

    Raises InUseError at once if somebody uses it; a file that is gone is nobody's.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        if sys.platform != "win32":
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUseError(
                    "It is in use: a server has it loaded, or a job works on it. End its trial "
                    "(`sightline models shadow NAME --end`) or the job (`sightline jobs cancel "
                    "ID`), or stop the server: it keeps a model until it needs the room."
                ) from None
        else:
            os.close(handle)  # an open file can't be deleted there
            handle = -1
        yield
    finally:
        if handle >= 0:
            os.close(handle)


def is_writable(folder: Path) -> bool:
    """Tell whether a folder can be written, or made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)


def _check_same(handle: int, path: Path) -> None:
    here, there = os.fstat(handle), path.stat()
    if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
        raise FileNotFoundError(path)
