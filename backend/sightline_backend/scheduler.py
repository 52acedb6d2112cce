"""Which frames run next: pure logic, with the clock passed in.

One slot per stream, the newest frame wins, so memory is bounded by the number of streams.
The line is ordered by deadline: the deadline of the *first* frame a stream has had waiting
since it was last served. A newer frame takes the older one's place in line; otherwise a fast
camera, whose frames are always the newest, would starve behind slow ones under overload.
Frames within a promised rate go before those of streams that share what is left, and who has
had its share goes further back, see `slot.py`; it still gets whatever nobody else wants.

A frame that can't meet its own deadline is dropped before it costs engine time. A batch is
held open only while the engine can't keep up with batches of the present size, for no longer
than such a batch takes, and never past the moment at which its earliest deadline would be
missed. Uploads form a lower class:
they run when no stream waits, and otherwise get a small guaranteed share of engine time.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from sightline_backend.arrivals import Arrivals
from sightline_backend.batch_times import BatchTimes
from sightline_backend.slot import Slot, Ticket

__all__ = ["Decision", "Scheduler", "Ticket"]

T = TypeVar("T")

PROBE_AFTER_S = 1.0  # run a doubtful frame when nothing has run for this long
UPLOAD_SHARE = 0.1  # of engine time, guaranteed to uploads while streams wait
HEADROOM = 0.95  # of what the engines sustain is given out: a full line never gets shorter
LEAST_LEFT = 0.05  # of what the engines sustain, for the streams without a promise
ANSWER_S = 0.002  # from the engine to the client: what is left of a deadline after a batch


@dataclass(frozen=True, slots=True, eq=False)
class Decision(Generic[T]):
    """What to do now: run `batch` if there is one, else ask again at `wake_s` or on news."""

    batch: list[Ticket[T]]
    late: list[Ticket[T]]
    wake_s: float | None = None


class Scheduler(Generic[T]):
    """Chooses batches for one engine, or several equal ones; not thread-safe, never blocks."""

    def __init__(
        self, times: BatchTimes, max_batch: int, max_uploads: int, engines: int = 1
    ) -> None:
        self.times = times
        self._max_batch = min(max_batch, times.largest)
        self._max_uploads = max_uploads
        self._engines = engines
        self._slots: dict[int, Slot[T]] = {}
        self._promised_fps = 0.0
        self._unpromised = 0  # streams without a rate of their own
        self._line: list[tuple[float, int]] = []  # (place, stream), one entry a filled slot
        self._uploads: deque[Ticket[T]] = deque()
        self._upload_credit_s = 0.0
        self._arrivals = Arrivals()
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

    @property
    def capacity_fps(self) -> float:
        """Frames a second that the engines sustain."""
        return self._engines * self.times.best_fps(self._max_batch)

    @property
    def promised_fps(self) -> float:
        """Frames a second that open streams were promised."""
        return self._promised_fps

    @property
    def unpromised(self) -> int:
        """How many open streams share what the promised ones leave."""
        return self._unpromised

    def open(self, stream: int, fps: float | None = None) -> None:
        """Give a stream its slot, with a rate if it was promised one; no id is used twice."""
        self._slots[stream] = Slot(fps)
        self._count_stream(fps, 1)

    def close(self, stream: int) -> Ticket[T] | None:
        """Take a stream's slot away and return the frame that was in it."""
        slot = self._slots.pop(stream, None)
        if slot is None:
            return None
        self._count_stream(slot.fps, -1)
        return slot.ticket

    def limit(self, max_batch: int) -> None:
        """Form no larger batches from now on."""
        self._max_batch = max(1, min(self._max_batch, max_batch))

    def offer(self, stream: int, item: T, deadline_s: float, now_s: float) -> Ticket[T] | None:
        """Put a stream's newest frame in its slot and return the frame it replaces."""
        slot = self._slots[stream]
        self._arrivals.add(now_s)
        before_s = slot.place_s
        replaced = slot.put(Ticket(stream, item, deadline_s), now_s)
        if replaced is None or slot.place_s != before_s:
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

    def expire(self, now_s: float) -> list[Ticket[T]]:
        """Take out the frames whose deadline has passed; for when no engine runs."""
        late: list[Ticket[T]] = []
        for slot in self._slots.values():
            if slot.ticket is not None and slot.ticket.deadline_s < now_s:
                late.append(slot.ticket)
                slot.ticket = None
        self._line = [(slot.place_s, stream) for stream, slot in self._slots.items() if slot.ticket]
        heapq.heapify(self._line)
        return late

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
        least_s = self.times.likely(1) + ANSWER_S
        while self._line and len(batch) < largest:
            place_s, stream = heapq.heappop(self._line)
            slot = self._slots.get(stream)
            if slot is None or slot.ticket is None or slot.place_s != place_s:
                continue  # closed since, or an entry that a later one has replaced
            ticket = slot.ticket
            slack_s = ticket.deadline_s - now_s
            if slack_s < 0 or (slack_s < least_s and (batch or not probe)):
                slot.ticket = None
                late.append(ticket)
                continue
            limit_s = min(limit_s, slack_s)
            if batch and self.times.cautious(len(batch) + 1) + ANSWER_S > limit_s:
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
        if not self._worth_waiting(size, now_s):
            return None
        if self._held_from_s is None:
            self._held_from_s = now_s
        latest_s = min(t.deadline_s for t in batch) - self.times.cautious(size + 1)
        until_s = min(latest_s - ANSWER_S, self._held_from_s + self.times.mean(size))
        return until_s if until_s > now_s else None

    def _worth_waiting(self, size: int, now_s: float) -> bool:
        """Tell whether a batch one larger gives more frames a second, the wait for it included.

        Never where the engines keep up with batches of this size.
        """
        rate = self._arrivals.per_second(now_s)
        now_fps = size / self.times.mean(size)
        if rate < now_fps * self._engines:
            return False
        fresh = rate * (1 - size / len(self._slots))  # the others' next frames replace theirs
        return (size + 1) / (1 / fresh + self.times.mean(size + 1)) > now_fps

    def _run(self, batch: list[Ticket[T]], late: list[Ticket[T]], now_s: float) -> Decision[T]:
        """Serve the streams of a batch; fill the room that is left with uploads."""
        self._held_from_s = None
        for ticket in batch:
            if ticket.stream is not None:
                slot = self._slots[ticket.stream]
                slot.served(self._share_fps(), now_s)
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
        heapq.heappush(self._line, (slot.place_s, ticket.stream))

    def _share_fps(self) -> float:
        """Return what each stream without a promise may count on."""
        capacity_fps = self.capacity_fps
        left = max(HEADROOM * capacity_fps - self._promised_fps, LEAST_LEFT * capacity_fps)
        return left / max(self._unpromised, 1)

    def _count_stream(self, fps: float | None, one: int) -> None:
        if fps is None:
            self._unpromised += one
        else:
            self._promised_fps += one * fps
