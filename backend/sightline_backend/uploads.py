"""The uploads that have come and have no answer yet."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager


class Uploads:
    """Knows since when each of them waits; for the event loop's thread."""

    def __init__(self) -> None:
        self._since_s: dict[int, float] = {}  # the oldest first
        self._ids = itertools.count()

    def __len__(self) -> int:
        return len(self._since_s)

    @contextmanager
    def holding(self, now_s: float) -> Iterator[None]:
        """Count an upload as waiting for the length of a block."""
        number = next(self._ids)
        self._since_s[number] = now_s
        try:
            yield
        finally:
            del self._since_s[number]

    def longest_s(self, now_s: float) -> float:
        """Return how long the oldest has waited, 0 if none does."""
        return now_s - next(iter(self._since_s.values()), now_s)
