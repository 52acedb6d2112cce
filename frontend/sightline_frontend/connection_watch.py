"""Decides when a WebRTC connection is lost and has to be started again; pure logic."""

from __future__ import annotations

from typing import Literal

SILENCE_S = 1.8  # pictures came and stopped for so long: the line is dead
PATIENCE_S = 6.0  # for the first picture; it takes two seconds as a rule
SETTLED_S = 10.0  # pictures for so long: the trouble is over
_LONGEST_FACTOR = 4

Verdict = Literal["connecting", "live", "restart"]


class ConnectionWatch:
    """Watches one viewer's connection; all times are of one monotonic clock.

    The verdict "restart" is given once; the connection is then taken for started afresh.
    """

    def __init__(self, now_s: float) -> None:
        self._started_s = now_s
        self._was_live = False
        self._restarts = 0
        self._failures = 0

    @property
    def restarts(self) -> int:
        """How often the connection was started again since it last ran steadily."""
        return self._restarts

    @property
    def failures(self) -> int:
        """How many tries in a row brought no picture."""
        return self._failures

    @property
    def unreachable(self) -> bool:
        """Tell whether no picture came through in two tries: the network is to blame."""
        return self._failures >= 2

    def look(self, now_s: float, playing: bool, last_frame_s: float | None) -> Verdict:
        """Judge the connection.

        Args:
            playing: what the browser says of it.
            last_frame_s: when the last picture came, None if none has come at all.
        """
        factor = min(2**self._restarts, _LONGEST_FACTOR)
        if last_frame_s is None or last_frame_s < self._started_s:
            if now_s - self._started_s < PATIENCE_S * factor:
                return "connecting"
            self._failures += 1
            return self._restart(now_s)
        self._failures = 0
        if now_s - last_frame_s > SILENCE_S * factor or (self._was_live and not playing):
            return self._restart(now_s)
        if not playing:
            return "connecting"
        self._was_live = True
        if now_s - self._started_s > SETTLED_S:
            self._restarts = 0
        return "live"

    def _restart(self, now_s: float) -> Verdict:
        self._started_s = now_s
        self._was_live = False
        self._restarts += 1
        return "restart"
