"""Which of several models has a device next: pure arithmetic, engine time passed in.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each model has a tag, the engine
time that it has had, and of those that wait the smallest goes first. A model that comes back from
a pause begins where the others are, so nobody saves anything up. Promised frames go before
others, whatever the tags say; a model that is ahead because of them is held to that for no more
than half a second of engine time. Background turns are charged to nobody: they take what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

MOST_AHEAD_S = 0.5  # of engine time, which a model may still owe for promised turns


class Rank(IntEnum):
    """What a model's next batch is; the smaller goes first."""

    PROMISED = 0
    SHARED = 1
    BACKGROUND = 2  # only while nobody else has work


class EngineShare:
    """The tags of the models on one device."""

    def __init__(self) -> None:
        self._tags_s: dict[str, float] = {}
        self._promised_s: dict[str, float] = {}  # the part of the tags that promised turns made
        self._now_s = 0.0  # the largest tag with which shared work was begun: virtual time

    def wait(self, model: str) -> None:
        """Note that a model has work from now on; the time without any earned it nothing."""
        tag_s = max(self._tags_s.get(model, self._now_s), self._now_s)
        owed_s = min(self._promised_s.get(model, 0.0), tag_s - self._now_s)
        held_s = min(owed_s, MOST_AHEAD_S)  # a long batch of its own share is never forgiven
        self._tags_s[model], self._promised_s[model] = tag_s - owed_s + held_s, held_s

    def first(self, waiting: Sequence[tuple[Rank, str]]) -> int:
        """Return the position of the one who goes next; of equals who came first."""
        return min(
            range(len(waiting)),
            key=lambda at: (waiting[at][0], self._tags_s.get(waiting[at][1], self._now_s)),
        )

    def begin(self, model: str, rank: Rank, expected_s: float) -> None:
        """Charge a turn to a model as it begins, so that the next choice knows of it."""
        if rank == Rank.BACKGROUND:
            return
        self._tags_s[model] = max(self._tags_s.get(model, self._now_s), self._now_s)
        if rank == Rank.SHARED:
            self._now_s = self._tags_s[model]
        self._charge(model, rank, expected_s)

    def end(self, model: str, rank: Rank, expected_s: float, took_s: float) -> None:
        """Charge what a turn really took."""
        if rank != Rank.BACKGROUND and model in self._tags_s:
            self._charge(model, rank, took_s - expected_s)

    def _charge(self, model: str, rank: Rank, seconds: float) -> None:
        self._tags_s[model] += seconds
        if rank == Rank.PROMISED:
            self._promised_s[model] = max(0.0, self._promised_s.get(model, 0.0) + seconds)

    def forget(self, model: str) -> None:
        """Drop a model that has gone."""
        self._tags_s.pop(model, None)
        self._promised_s.pop(model, None)
