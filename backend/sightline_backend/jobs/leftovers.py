"""Processes of a job whose guard was killed, so that nobody ended them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil

MARK = "SIGHTLINE_JOB_MARK"  # in the environment of a job's processes: they all inherit it
_LAST_TRY_S = 5.0


def kill_left(session: int, mark: str) -> None:
    """Kill what has the session or the mark, until there is none, or seconds later; blocks."""
    until_s = time.monotonic() + _LAST_TRY_S
    while time.monotonic() < until_s:
        left = list(_of(session, mark))
        if not left:
            return
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=0.2)


def _of(session: int, mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it ended, or is somebody else's
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if _session(process.pid) == session or process.environ().get(MARK) == mark:
                yield process


def _session(pid: int) -> int | None:
    return os.getsid(pid) if hasattr(os, "getsid") else None  # Windows has none
