"""How often a lost engine is started again: pure logic, with the clock passed in."""

from __future__ import annotations

from collections import deque

MOST_RESTARTS = 5
WINDOW_S = 60.0
REST_S = 60.0  # without a try, once the breaker is open


class Breaker:
    """Allows a number of restarts in a time window, then one try after each rest."""

    def __init__(
        self, most: int = MOST_RESTARTS, window_s: float = WINDOW_S, rest_s: float = REST_S
    ) -> None:
        self._most = most
        self._window_s = window_s
        self._rest_s = rest_s
        self._restarts: deque[float] = deque(maxlen=most)
        self._open = False

    def lost(self, now_s: float) -> float:
        """Return after how many seconds the engine that was just lost may be started again."""
        last_s = self._restarts[-1] if self._restarts else None
        if last_s is None or now_s - last_s > self._window_s:
            self._open = False  # it had run for long enough to be trusted again
        elif len(self._restarts) == self._most and now_s - self._restarts[0] <= self._window_s:
            self._open = True
        return self._rest_s if self._open else 0.0

    def restarted(self, now_s: float) -> None:
        """Count a restart, also one that fails."""
        self._restarts.append(now_s)
