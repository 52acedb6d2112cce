"""Who runs a job: a process, by a name that nobody else ever has, and whether it still lives."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import IO

import psutil

if sys.platform != "win32":
    import fcntl


class Owner:
    """This process while it runs jobs; others see by a lock on a file that it is alive.

    The lock ends with the process, however that ends, and is seen from other containers that
    share the folder, where process ids mean nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        pid = os.getpid()
        started = psutil.Process(pid).create_time()
        self.name = f"{socket.gethostname()}:{pid}:{started:.2f}"
        self._file: IO[bytes] | None = None

    def take(self) -> None:
        """Show that this process lives; several supervisors of one process share its name."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = self._path(self.name).open("ab")
        if sys.platform != "win32":
            fcntl.flock(self._file, fcntl.LOCK_SH)

    def release(self) -> None:
        """Show that this process runs no jobs any more."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path(self.name).unlink(missing_ok=True)

    def is_alive(self, name: str) -> bool:
        """Tell whether the process of that name still runs jobs."""
        if name == self.name:
            return self._file is not None
        if sys.platform == "win32":
            return _is_running(name)
        try:
            with self._path(name).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        self._path(name).unlink(missing_ok=True)
        return False

    def _path(self, name: str) -> Path:
        return self._folder / f".owner-{name.replace(':', '-').replace('/', '-')}"


def _is_running(name: str) -> bool:
    host, pid, started = name.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == started
    except (psutil.Error, ValueError):
        return False
