"""How fast a client may send: the generic cell rate algorithm (ITU-T I.371)."""

from __future__ import annotations


class Pace:
    """Allows `per_s` messages a second, and `at_once` in a burst."""

    def __init__(self, per_s: float, at_once: int) -> None:
        self._gap_s = 1 / per_s
        self._burst_s = at_once / per_s
        self._due_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Return how long a message that comes now has to wait."""
        return max(0.0, self._due_s + self._gap_s - now_s - self._burst_s)

    def count(self, now_s: float) -> None:
        """Count a message."""
        self._due_s = max(self._due_s, now_s) + self._gap_s
