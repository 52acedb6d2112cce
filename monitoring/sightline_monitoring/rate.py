"""Events per second over a sliding window, in constant memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_SLICES = 10


class Rate:
    """Counts events; `tick` and `per_second` may be called from different threads."""

    def __init__(self, window_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.window_s = window_s
        self._clock = clock
        self._slice_s = window_s / _SLICES
        self._counts = [0] * _SLICES
        self._newest = 0  # index of the present slice since the clock's zero
        self._lock = threading.Lock()

    def tick(self) -> None:
        """Count one event."""
        with self._lock:
            self._counts[self._advance() % _SLICES] += 1

    def per_second(self) -> float:
        """Return the rate over the window, the slice that still fills left out."""
        with self._lock:
            present = self._advance() % _SLICES
            full = sum(self._counts) - self._counts[present]
        return full / (self.window_s - self._slice_s)

    def _advance(self) -> int:
        now = int(self._clock() / self._slice_s)
        for step in range(min(now - self._newest, _SLICES)):
            self._counts[(now - step) % _SLICES] = 0
        self._newest = max(self._newest, now)
        return self._newest
