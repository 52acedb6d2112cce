"""Make a job's process the last to get a processor, and the first to go when memory is short."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def step_back() -> None:
    """Give way to everything else on this machine; what the system doesn't have is left out."""
    with suppress(OSError):
        os.nice(19)
    if sys.platform == "linux":
        with suppress(OSError):  # a batch job is never woken ahead of what serves
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        # A session of its own is a scheduling group of its own on desktops: the nice value
        # counts within it alone, and the group's own is this.
        _say("/proc/self/autogroup", "19")
        _say("/proc/self/oom_score_adj", "1000")


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none gets away."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def memory_kills() -> int | None:
    """Return how often the kernel has killed for lack of memory; None: it doesn't say."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return None
    counts = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
    return counts[0] if counts else None


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _say(path: str, text: str) -> None:
    with suppress(OSError):
        Path(path).write_text(text)
