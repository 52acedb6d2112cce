"""One stream's mailbox, and what decides its place in line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

Place: TypeAlias = tuple[int, float, float]  # the smaller goes first: class, tag, deadline
PROMISED, SHARING, UPLOADS = 0, 1, 2  # classes
CREDIT_S = 0.25  # of engine time that a stream may have had less than others, and catch up
EARLY_S = 0.1  # before its time, at most, a promised frame may come
SETTLED_S = 10.0  # after which a promise is held against what was sent
SPARE = 1.5  # a promise may exceed what was sent by this factor


@dataclass(frozen=True, slots=True, eq=False)
class Ticket(Generic[T]):
    """One frame in line; times are seconds of the caller's clock."""

    stream: int | None  # None: an upload
    item: T
    deadline_s: float
    kind: int = UPLOADS  # the class that it runs in


@dataclass(slots=True, eq=False)
class Slot(Generic[T]):
    """Holds a stream's newest frame, and its place in line until the stream is served.

    Frames within a promised rate go by deadline. What is within it is told by the generic cell
    rate algorithm (ITU-T I.371), with a tolerance of half a frame's time, 0.1 s at most. All
    others share: each stream's tag is the engine time it has had (start-time fair queueing,
    Goyal, Vin and Cheng, SIGCOMM 1996), and the smallest goes first.
    """

    fps: float | None = None  # what the stream is promised
    leaving: bool = False  # it has moved to another engine and waits here for its last frame
    ticket: Ticket[T] | None = None
    since_s: float = 0.0  # when the frame in the slot came, or the one whose turn it took
    place: Place = (SHARING, 0.0, 0.0)
    _began_s: float | None = None  # when the wait began; None: nothing came since it was served
    tag_s: float = 0.0  # engine time had, as sharing streams count it
    _promise_due_s: float = 0.0  # when the next frame within the promise is expected
    _counted: int = 0  # frames sent since `_counted_s`
    _counted_s: float | None = None

    def put(self, ticket: Ticket[T], virtual_s: float, now_s: float) -> Ticket[T] | None:
        """Put the newest frame in and return the one that it replaces, with its class.

        `virtual_s` is the largest tag that was served: who comes back from a pause begins not
        far behind it, so that nobody saves up turns.
        """
        replaced, self.ticket = self.ticket, ticket
        if replaced is None:
            self.since_s = now_s
        else:
            replaced = replace(replaced, kind=self.place[0])
        self._counted += 1
        if self._counted_s is None:
            self._counted_s = now_s
        if self._began_s is None:
            self._began_s = now_s
            self.tag_s = max(virtual_s - CREDIT_S, self.tag_s)
            self.place = (SHARING, self.tag_s, ticket.deadline_s)
        if self.place[0] == SHARING and self._within_promise(now_s):
            self.place = (PROMISED, 0.0, ticket.deadline_s)
        return replaced

    def serve(self, ticket: Ticket[T], now_s: float) -> Ticket[T]:
        """End the wait and return the frame with the class in which it runs."""
        began_s, self._began_s = self._began_s, None
        kind = self.place[0]
        if kind == PROMISED and self.fps is not None:
            began_s = now_s if began_s is None else began_s
            self._promise_due_s = max(self._promise_due_s, began_s) + 1 / self.fps
        return replace(ticket, kind=kind)

    def charge(self, seconds: float) -> None:
        """Count engine time against the stream's turn."""
        self.tag_s += seconds

    def settle(self, now_s: float, least_fps: float) -> None:
        """Take back what of a promise is not used, once that can be told."""
        if self.fps is None or self._counted_s is None:
            return
        seconds = now_s - self._counted_s
        if seconds < SETTLED_S:
            return
        used_fps = self._counted / seconds
        self.fps = min(self.fps, max(SPARE * used_fps, least_fps))
        self._counted, self._counted_s = 0, now_s

    def _within_promise(self, now_s: float) -> bool:
        if self.fps is None:
            return False
        return self._promise_due_s - now_s <= min(0.5 / self.fps, EARLY_S)
