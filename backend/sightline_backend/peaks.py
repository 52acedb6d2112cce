"""The largest of the last few seconds, told as it comes."""

from __future__ import annotations

from collections import deque


class Peaks:
    """Tells a value that is the largest of its time; a step costs the same on average."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._falling: deque[tuple[float, float]] = deque()  # each smaller than the one before

    def is_peak(self, now_s: float, value: float) -> bool:
        """Take a value; tell whether none of the last seconds' is as large."""
        while self._falling and self._falling[0][0] < now_s - self._span_s:
            self._falling.popleft()
        peak = not self._falling or self._falling[0][1] < value
        while self._falling and self._falling[-1][1] <= value:
            self._falling.pop()
        self._falling.append((now_s, value))
        return peak
