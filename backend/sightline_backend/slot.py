"""One stream's mailbox, and its place in line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Ticket(Generic[T]):
    """One frame in line; times are seconds of the caller's clock."""

    stream: int | None  # None: an upload
    item: T
    deadline_s: float


@dataclass(slots=True, eq=False)
class Slot(Generic[T]):
    """Holds a stream's newest frame, and keeps its place in line until the stream is served.

    The place is a time, the earliest goes first. Without a promise it is the deadline of the
    first frame that waits, and later by as much as that frame comes before the stream is due
    at its share of what is left. A frame within a promised rate has its arrival for a place: it
    goes before all who share, but for one that has waited past its own place. What is within
    the rate is told by the generic cell rate algorithm (ITU-T I.371), with a tolerance of half
    a frame's time.
    """

    fps: float | None = None  # what the stream was promised
    ticket: Ticket[T] | None = None
    place_s: float = 0.0
    _since_s: float | None = None  # when the wait began; None: served since
    _promised: bool = False  # the place is one within the promise
    _promise_due_s: float = 0.0  # when the next frame within the promise is expected
    _share_due_s: float = 0.0

    def put(self, ticket: Ticket[T], now_s: float) -> Ticket[T] | None:
        """Put the newest frame in and return the one that it replaces."""
        replaced, self.ticket = self.ticket, ticket
        begins = self._since_s is None
        if begins:
            self._since_s = now_s
            self._promised = False
            self.place_s = ticket.deadline_s + max(0.0, self._share_due_s - now_s)
        if not self._promised and self._within_promise(now_s):
            self._promised = True
            self.place_s = min(self.place_s, now_s)
        return replaced

    def served(self, share_fps: float, now_s: float) -> None:
        """End the wait; `share_fps` is what each stream gets of what is not promised.

        The debt to the share is one frame at most: what a stream was given while the engine
        had time to spare is not held against it.
        """
        began_s = now_s if self._since_s is None else self._since_s
        self._since_s = None
        if self._promised and self.fps is not None:
            self._promise_due_s = max(self._promise_due_s, began_s) + 1 / self.fps
        else:
            self._share_due_s = min(max(self._share_due_s, began_s), now_s) + 1 / share_fps

    def _within_promise(self, now_s: float) -> bool:
        return self.fps is not None and self._promise_due_s - now_s <= 0.5 / self.fps
