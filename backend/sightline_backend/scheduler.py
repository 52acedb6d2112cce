"""Which frames run next: pure logic, with the clock passed in.

One slot per stream, the newest frame wins, so memory is bounded by the number of streams.
The line is ordered by deadline: the deadline of the *first* frame a stream has had waiting
since it was last served. A newer frame takes the older one's place in line; otherwise a fast
camera, whose frames are always the newest, would starve behind slow ones under overload.
With that rule every waiting stream gets its turn before any stream gets a second one.

A frame that can't meet its own deadline is dropped before it costs engine time. A batch is
held open only while the engine can't keep up with batches of the present size, for no longer
than such a batch takes, and never past the moment at which its earliest deadline would be
missed. Uploads form a lower class:
they run when no stream waits, and otherwise get a small guaranteed share of engine time.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from sightline_backend.batch_times import BatchTimes

T = TypeVar("T")

PROBE_AFTER_S = 1.0  # run a doubtful frame when nothing has run for this long
UPLOAD_SHARE = 0.1  # of engine time, guaranteed to uploads while streams wait
RATE_WINDOW_S = 1.0
HOLD_MARGIN_S = 0.002  # a held batch starts this much before it would be too late


@dataclass(frozen=True, slots=True, eq=False)
class Ticket(Generic[T]):
    """One frame in line; times are seconds of the caller's clock."""

    stream: int | None  # None: an upload
    item: T
    deadline_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Decision(Generic[T]):
    """What to do now: run `batch` if there is one, else ask again at `wake_s` or on news."""

    batch: list[Ticket[T]]
    late: list[Ticket[T]]
    wake_s: float | None = None


@dataclass(slots=True, eq=False)
class _Slot(Generic[T]):
    ticket: Ticket[T] | None = None
    place_s: float | None = None  # the key in line; kept until the stream is served


class Scheduler(Generic[T]):
    """Chooses batches for one engine; not thread-safe, never blocks."""

    def __init__(self, times: BatchTimes, max_batch: int, max_uploads: int) -> None:
        self.times = times
        self._max_batch = min(max_batch, times.largest)
        self._max_uploads = max_uploads
        self._slots: dict[int, _Slot[T]] = {}
        self._line: list[tuple[float, int]] = []  # (place, stream), one entry a filled slot
        self._uploads: deque[Ticket[T]] = deque()
        self._upload_credit_s = 0.0
        self._rate = 0.0  # arriving frames, decayed over RATE_WINDOW_S
        self._rate_at_s = 0.0
        self._ran_at_s = 0.0
        self._held_from_s: float | None = None  # when the batch in the making was first held

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._slots)

    @property
    def waiting(self) -> int:
        """How many frames and uploads are in line."""
        return len(self._uploads) + sum(s.ticket is not None for s in self._slots.values())

    def open(self, stream: int) -> None:
        """Give a stream its slot; ids are never used twice."""
        self._slots[stream] = _Slot()

    def close(self, stream: int) -> Ticket[T] | None:
        """Take a stream's slot away and return the frame that was in it."""
        slot = self._slots.pop(stream, None)
        return slot.ticket if slot else None

    def offer(self, stream: int, item: T, deadline_s: float, now_s: float) -> Ticket[T] | None:
        """Put a stream's newest frame in its slot and return the frame it replaces."""
        slot = self._slots[stream]
        self._count_arrival(now_s)
        replaced, slot.ticket = slot.ticket, Ticket(stream, item, deadline_s)
        if slot.place_s is None:
            slot.place_s = deadline_s
        if replaced is None:
            heapq.heappush(self._line, (slot.place_s, stream))
        return replaced

    def enqueue(self, item: T, deadline_s: float) -> bool:
        """Put an upload at the end of its queue; False when the queue is full."""
        if len(self._uploads) >= self._max_uploads:
            return False
        self._uploads.append(Ticket(None, item, deadline_s))
        return True

    def next(self, now_s: float) -> Decision[T]:
        """Decide what an engine that is free at `now_s` does."""
        if self._uploads and self._upload_credit_s >= self.times.mean(1):
            return self._run([], [], now_s)
        batch, late = self._earliest(now_s)
        if batch:
            hold_s = self._hold_until(batch, now_s)
            if hold_s is not None:
                for ticket in batch:
                    self._return(ticket)
                return Decision([], late, hold_s)
        return self._run(batch, late, now_s)

    def ran(
        self, batch: list[Ticket[T]], engine_s: float, now_s: float, per_frame_s: float = 0.0
    ) -> None:
        """Learn from a batch that has run, and from what each frame cost beside the engine."""
        self.times.observe(len(batch), engine_s, per_frame_s)
        self._ran_at_s = now_s
        if not self._uploads:
            self._upload_credit_s = 0.0
            return
        seconds = engine_s + per_frame_s * len(batch)
        used_s = seconds * sum(ticket.stream is None for ticket in batch) / len(batch)
        earned_s = UPLOAD_SHARE * seconds
        self._upload_credit_s = max(0.0, self._upload_credit_s + earned_s - used_s)

    def drain(self) -> list[Ticket[T]]:
        """Empty every slot and queue and return what was in them."""
        left = [s.ticket for s in self._slots.values() if s.ticket] + list(self._uploads)
        for slot in self._slots.values():
            slot.ticket = None
        self._line.clear()
        self._uploads.clear()
        return left

    def _earliest(self, now_s: float) -> tuple[list[Ticket[T]], list[Ticket[T]]]:
        """Take the frames that form the next batch out of the line, and those too late."""
        batch: list[Ticket[T]] = []
        late: list[Ticket[T]] = []
        probe = now_s - self._ran_at_s > PROBE_AFTER_S
        limit_s = float("inf")
        largest = self._best_size()
        while self._line and len(batch) < largest:
            place_s, stream = heapq.heappop(self._line)
            slot = self._slots.get(stream)
            if slot is None or slot.ticket is None:  # closed since
                continue
            ticket = slot.ticket
            slack_s = ticket.deadline_s - now_s
            if slack_s < 0 or (slack_s < self.times.mean(1) and (batch or not probe)):
                slot.ticket = None
                late.append(ticket)
                continue
            limit_s = min(limit_s, slack_s)
            if batch and self.times.cautious(len(batch) + 1) > limit_s:
                heapq.heappush(self._line, (place_s, stream))
                break
            slot.ticket = None
            batch.append(ticket)
        return batch, late

    def _hold_until(self, batch: list[Ticket[T]], now_s: float) -> float | None:
        """Return until when to wait for company, or None to run at once."""
        size = len(batch)
        if size >= min(self._best_size(), len(self._slots)):
            return None
        if self._arrivals_per_s(now_s) * self.times.mean(size) < size:
            return None  # the engine keeps up with batches of this size
        if self._held_from_s is None:
            self._held_from_s = now_s
        latest_s = min(t.deadline_s for t in batch) - self.times.cautious(size + 1)
        until_s = min(latest_s - HOLD_MARGIN_S, self._held_from_s + self.times.mean(size))
        return until_s if until_s > now_s else None

    def _run(self, batch: list[Ticket[T]], late: list[Ticket[T]], now_s: float) -> Decision[T]:
        """Serve the streams of a batch; fill the room that is left with uploads."""
        self._held_from_s = None
        for ticket in batch:
            if ticket.stream is not None:
                self._slots[ticket.stream].place_s = None
        slack_s = min((t.deadline_s for t in batch), default=float("inf")) - now_s
        while self._uploads and len(batch) < self._best_size():
            if batch and self.times.cautious(len(batch) + 1) > slack_s:
                break
            batch.append(self._uploads.popleft())
        return Decision(batch, late)

    def _best_size(self) -> int:
        return min(self.times.best_size(), self._max_batch)

    def _return(self, ticket: Ticket[T]) -> None:
        assert ticket.stream is not None  # noqa: S101  only streams' frames are held
        slot = self._slots[ticket.stream]
        slot.ticket = ticket
        assert slot.place_s is not None  # noqa: S101
        heapq.heappush(self._line, (slot.place_s, ticket.stream))

    def _count_arrival(self, now_s: float) -> None:
        self._rate = self._decayed(now_s) + 1.0
        self._rate_at_s = now_s

    def _arrivals_per_s(self, now_s: float) -> float:
        return self._decayed(now_s) / RATE_WINDOW_S

    def _decayed(self, now_s: float) -> float:
        elapsed_s = max(0.0, now_s - self._rate_at_s)
        return self._rate * math.exp(-elapsed_s / RATE_WINDOW_S)
