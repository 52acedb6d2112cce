"""Decides when a WebRTC connection is lost and has to be started again; pure logic."""

from __future__ import annotations

from typing import Literal

SILENCE_S = 1.8  # pictures came and stopped for so long: the line is dead
PATIENCE_S = 12.0  # a connection takes two seconds as a rule
SETTLED_S = 10.0  # pictures for so long: the trouble is over

Verdict = Literal["connecting", "live", "restart", "unreachable"]


class ConnectionWatch:
    """Watches one viewer's wish to see pictures; times are of one monotonic clock.

    "restart" and "unreachable" both mean: start the connection afresh. The second says
    that no picture ever came through, so the network is to blame.
    """

    def __init__(self, now_s: float) -> None:
        self._started_s = now_s
        self._restarts = 0

    @property
    def restarts(self) -> int:
        """How often the connection was started again since it last ran steadily."""
        return self._restarts

    def look(self, now_s: float, playing: bool, last_frame_s: float | None) -> Verdict:
        """Judge the connection; `last_frame_s` is None if no picture has come at all."""
        waited_s = now_s - self._started_s
        if last_frame_s is None or last_frame_s < self._started_s:
            return "connecting" if waited_s < PATIENCE_S else self._restart(now_s, "unreachable")
        if now_s - last_frame_s > SILENCE_S * 2 ** min(self._restarts, 4):
            return self._restart(now_s, "restart")
        if not playing:
            return "connecting"
        if waited_s > SETTLED_S:
            self._restarts = 0
        return "live"

    def _restart(self, now_s: float, verdict: Verdict) -> Verdict:
        self._started_s = now_s
        self._restarts += 1
        return verdict
