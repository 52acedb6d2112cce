"""When the next frame is worth sending; the same rule as live_component/pace.js.

The server names how many frames may be without an answer (credits). Filling them all when
the detector is slow would only make frames wait in the server's queue and grow old, so
frames are spaced by what one frame costs there, the time in the queue included.
"""

from __future__ import annotations

import math

from sightline_engines.types import Timings

_SMOOTHING = 0.2
_EARLY = 0.9  # sending a little early keeps the detector from idling


class Pacer:
    """Counts the frames that have no answer yet and spaces the sending; pure logic."""

    def __init__(self, credits: int = 1) -> None:
        self._credits = credits
        self._service_s = 0.0
        self._last_sent_s = -math.inf
        self._waiting: set[int] = set()

    def ready(self, now_s: float) -> bool:
        """Tell whether a frame sent now would be taken without delay."""
        spaced = now_s - self._last_sent_s >= self._service_s * _EARLY
        return spaced and len(self._waiting) < self._credits

    def sent(self, seq: int, now_s: float) -> None:
        """Note that a frame has left."""
        self._waiting.add(seq)
        self._last_sent_s = now_s

    def ended(self, seq: int, timings: Timings | None = None) -> None:
        """Note a frame's answer; a drop or an error has no timings."""
        self._waiting.discard(seq)
        if timings is not None:
            self._service_s += _SMOOTHING * (timings.total / 1e3 - self._service_s)
