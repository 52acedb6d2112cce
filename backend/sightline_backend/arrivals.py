"""How many frames a second arrive, as a decaying average."""

from __future__ import annotations

import math

WINDOW_S = 1.0


class Arrivals:
    """Counts arrivals; older ones count for less and less."""

    def __init__(self) -> None:
        self._count = 0.0
        self._at_s = 0.0

    def add(self, now_s: float) -> None:
        """Count one arrival."""
        self._count = self._decayed(now_s) + 1.0
        self._at_s = now_s

    def per_second(self, now_s: float) -> float:
        """Return the present rate."""
        return self._decayed(now_s) / WINDOW_S

    def _decayed(self, now_s: float) -> float:
        elapsed_s = max(0.0, now_s - self._at_s)
        return self._count * math.exp(-elapsed_s / WINDOW_S)
