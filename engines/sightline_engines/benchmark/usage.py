"""What a process takes of the machine."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

_SCHEDSTAT = Path("/proc/self/schedstat")
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds since some moment."""

    wall_s: float = 0.0
    processor_s: float = 0.0  # of all threads together
    ran_s: float = 0.0  # of the main thread
    waited_s: float = 0.0  # that the main thread was ready to run and had no processor

    def since(self, earlier: Usage) -> Usage:
        """Return what was taken between two readings."""
        return Usage(
            self.wall_s - earlier.wall_s,
            self.processor_s - earlier.processor_s,
            self.ran_s - earlier.ran_s,
            self.waited_s - earlier.waited_s,
        )

    @property
    def cores(self) -> float:
        """How many processors were kept busy."""
        return self.processor_s / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def disturbed(self) -> float | None:
        """Share of the time that was spent waiting for a processor; None: not to be known."""
        if self.wall_s <= 0 or self.ran_s <= 0:  # some kernels and containers count nothing
            return None
        return min(1.0, self.waited_s / self.wall_s)


def read_usage() -> Usage:
    """Return this process's usage so far."""
    try:
        ran, waited = (int(n) / 1e9 for n in _SCHEDSTAT.read_text(encoding="ascii").split()[:2])
    except (OSError, ValueError):
        ran = waited = 0.0
    return Usage(time.perf_counter(), time.process_time(), ran, waited)


def peak_memory() -> int:
    """Return the most memory that this process held, bytes.

    Not getrusage's: that counts the parent's, from before the child became a program of its own.
    """
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    import psutil

    return int(psutil.Process().memory_info().rss)
