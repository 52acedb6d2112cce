"""Files and folders that are on the disk when they are said to be, for everybody to read."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl


def write(path: Path, content: bytes | str | Path) -> None:
    """Write a file, or copy one, with the folders above it; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if isinstance(content, Path):
            with content.open("rb") as source:
                shutil.copyfileobj(source, file, 2**20)
        else:
            file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


def settle(folder: Path, *, alone: bool = False) -> None:
    """Open a folder to all, with what is in it, and have the disk know its entries.

    `alone`: its entries only, and no rights are changed.
    """
    inside = () if alone else tuple(folder.rglob("*"))
    for path in () if alone else (folder, *inside):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for one in (folder, *(path for path in inside if path.is_dir())):
        _sync(one)


def new_folder(folder: Path, beside: Path) -> None:
    """Make a folder that all may read, unless it is there: first as `beside`, so never half."""
    if folder.is_dir():
        return
    beside.mkdir()
    try:
        beside.chmod(0o755)
        beside.rename(folder)
    except OSError:
        with suppress(OSError):
            beside.rmdir()
        if not folder.is_dir():  # another has made it meanwhile
            raise


def taken(handle: int) -> bool:
    """Take the lock of an open file, if nobody has it; it ends with the file."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(folder: Path) -> None:
    if sys.platform == "win32":  # has no such thing
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
