"""Which frames run next: pure logic, with the clock passed in.

One slot per stream, the newest frame wins, so memory is bounded by the number of streams.
There are three classes. Frames within the rate that their stream was promised go first, the
earliest deadline before the others. Streams without a promise share what is left: while the
engines keep up, the earliest deadline goes first, and else who has had the least engine time.
A newer frame takes the older one's place in line; otherwise a fast camera, whose frames are
always the newest, would starve behind slow ones. Uploads come last. The second and third class
are sure of a small part of engine time, which is never promised to anybody.

A frame that can't meet its own deadline is dropped before it costs engine time. A batch is
held open only while the engine can't keep up with batches of the present size, for no longer
than such a batch takes, and never past the moment at which its earliest deadline would be
missed.
"""

from __future__ import annotations

import heapq
import statistics
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sightline_backend.arrivals import Arrivals
from sightline_backend.batch_times import BatchTimes
from sightline_backend.share import Share
from sightline_backend.slot import PROMISED, SHARING, UPLOADS, Place, Slot, Ticket

__all__ = ["Decision", "Scheduler", "Ticket"]

T = TypeVar("T")

PROBE_AFTER_S = 1.0  # run a doubtful frame when nothing has run for this long
UPLOAD_PART = 0.10  # of engine time, sure for uploads
SHARING_PART = 0.10  # of engine time, sure for streams without a promise
PROMISABLE = 1.0 - UPLOAD_PART - SHARING_PART
KEEPS_UP = 0.9  # of what the engines sustain: with fewer arrivals deadlines alone decide
LEAST_FPS = 1.0  # what is set aside for any stream, however little it asks for
ANSWER_S = 0.003  # from the engine to the client: what is left of a deadline after a batch


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
        self._lines: tuple[list[tuple[Place, int]], ...] = ([], [])  # by class, as heaps
        self._virtual_s = 0.0  # the largest tag of a sharing stream that was served
        self._uploads: deque[Ticket[T]] = deque()
        self._upload_share = Share(UPLOAD_PART)
        self._sharing_share = Share(SHARING_PART)
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
    def waiting_uploads(self) -> int:
        """How many of them are uploads."""
        return len(self._uploads)

    @property
    def owes(self) -> bool:
        """Whether a frame waits that is within what its stream was promised."""
        return any(self._holds(*entry) for entry in self._lines[PROMISED])

    @property
    def longest_since_s(self) -> float | None:
        """When the stream that has waited longest began to; None while none waits."""
        return min((s.since_s for s in self._slots.values() if s.ticket is not None), default=None)

    @property
    def best_size(self) -> int:
        """The largest batch that pays."""
        return min(self.times.best_size(), self._max_batch)

    @property
    def capacity_fps(self) -> float:
        """Frames a second that the engines sustain."""
        return self._engines * self.times.best_fps(self._max_batch)

    def reserved_fps(self, now_s: float) -> float:
        """Return `promised_fps`, for who wants some of the rest.

        What a stream was promised and doesn't use is taken back here.
        """
        for slot in self._slots.values():
            slot.settle(now_s, LEAST_FPS)
        return self.promised_fps

    @property
    def promised_fps(self) -> float:
        """Frames a second that open streams are promised or sure of."""
        slots = (slot for slot in self._slots.values() if not slot.leaving)
        return sum(max(slot.fps or 0.0, LEAST_FPS) for slot in slots)

    def open(self, stream: int, fps: float | None = None) -> None:
        """Give a stream its slot, with a rate if it was promised one; no id is used twice."""
        self._slots[stream] = Slot(fps)

    def renounce(self, stream: int) -> float | None:
        """Set nothing aside for a stream any more, which only waits for its last frame.

        Returns the rate that it was promised; None: a share of what is left.
        """
        slot = self._slots[stream]
        slot.leaving, fps, slot.fps = True, slot.fps, None
        return fps

    def close(self, stream: int) -> Ticket[T] | None:
        """Take a stream's slot away and return the frame that was in it."""
        slot = self._slots.pop(stream, None)
        return slot.ticket if slot else None

    def limit(self, max_batch: int) -> None:
        """Form no larger batches from now on."""
        self._max_batch = max(1, min(self._max_batch, max_batch))

    def offer(self, stream: int, item: T, deadline_s: float, now_s: float) -> Ticket[T] | None:
        """Put a stream's newest frame in its slot and return the frame it replaces."""
        slot = self._slots[stream]
        self._arrivals.add(now_s)
        before = slot.place
        replaced = slot.put(Ticket(stream, item, deadline_s), self._virtual_s, now_s)
        if replaced is None or slot.place != before:
            self._line_up(stream, slot)
        return replaced

    def enqueue(self, item: T, deadline_s: float) -> bool:
        """Put an upload at the end of its queue; False when the queue is full."""
        if len(self._uploads) >= self._max_uploads:
            return False
        self._uploads.append(Ticket(None, item, deadline_s))
        return True

    def next(self, now_s: float) -> Decision[T]:
        """Decide what an engine that is free at `now_s` does."""
        one_s = self.times.mean(1)
        if self._uploads and self._upload_share.credit_s >= one_s:
            return self._run([], [], now_s)
        sharing_first = self._sharing_share.credit_s >= one_s
        batch, late = self._earliest(now_s, sharing_first)
        if batch:
            hold_s = self._hold_until(batch, now_s)
            if hold_s is not None:
                for ticket in batch:
                    self._return(ticket)
                return Decision([], late, hold_s)
        return self._run(batch, late, now_s)

    def ran(
        self,
        batch: Sequence[Ticket[T]],
        engine_s: float | None,
        now_s: float,
        beside_s: Sequence[float] = (),
        size: int | None = None,
    ) -> None:
        """Learn from a batch that has run, whatever came of it.

        `engine_s` is the engine's time for the `size` frames that reached it, None if none did;
        `beside_s` is what each frame of the batch cost beside the engine, decoding above all.
        """
        self._ran_at_s = now_s
        beside_s = beside_s or [0.0] * len(batch)
        if engine_s is not None:
            self.times.observe(size or len(batch), engine_s, statistics.median(beside_s))
        each_s = (engine_s or 0.0) / len(batch)
        used = [0.0, 0.0, 0.0]
        for ticket, own_s in zip(batch, beside_s, strict=True):
            used[ticket.kind] += each_s + own_s
            slot = self._slots.get(ticket.stream) if ticket.stream is not None else None
            if slot is not None and ticket.kind == SHARING:
                slot.charge(each_s + own_s)
        self._upload_share.account(sum(used), used[UPLOADS], bool(self._uploads))
        self._sharing_share.account(sum(used), used[SHARING], bool(self._lines[SHARING]))

    def expire(self, now_s: float) -> list[Ticket[T]]:
        """Take out the frames whose deadline has passed; for when no engine runs."""
        late: list[Ticket[T]] = []
        for slot in self._slots.values():
            if slot.ticket is not None and slot.ticket.deadline_s < now_s:
                late.append(slot.ticket)
                slot.ticket = None
        for line in self._lines:
            line.clear()
        for stream, slot in self._slots.items():
            if slot.ticket is not None:
                self._line_up(stream, slot)
        return late

    def drain(self) -> list[Ticket[T]]:
        """Empty every slot and queue and return what was in them."""
        left = [s.ticket for s in self._slots.values() if s.ticket] + list(self._uploads)
        for slot in self._slots.values():
            slot.ticket = None
        for line in self._lines:
            line.clear()
        self._uploads.clear()
        return left

    def _earliest(
        self, now_s: float, sharing_first: bool
    ) -> tuple[list[Ticket[T]], list[Ticket[T]]]:
        """Take the frames that form the next batch out of the line, and those too late."""
        batch: list[Ticket[T]] = []
        late: list[Ticket[T]] = []
        probe = now_s - self._ran_at_s > PROBE_AFTER_S
        limit_s = float("inf")
        largest = self.best_size
        least_s = self.times.likely(1) + ANSWER_S
        for stream in self._in_order(now_s, sharing_first):
            slot = self._slots[stream]
            ticket = slot.ticket
            if ticket is None:
                continue
            slack_s = ticket.deadline_s - now_s
            if slack_s < 0 or (slack_s < least_s and (batch or not probe)):
                slot.ticket = None
                late.append(ticket)
                continue
            limit_s = min(limit_s, slack_s)
            if batch and self.times.cautious(len(batch) + 1) + ANSWER_S > limit_s:
                self._line_up(stream, slot)
                break
            slot.ticket = None
            batch.append(ticket)
            if len(batch) >= largest:
                break
        return batch, late

    def _in_order(self, now_s: float, sharing_first: bool) -> Iterator[int]:
        """Yield the streams that wait, as they go; who takes none of one lines it up again."""
        for kind in (SHARING, PROMISED) if sharing_first else (PROMISED, SHARING):
            line = self._lines[kind]
            if kind == SHARING:
                yield from self._urgent(now_s)
            while line:
                place, stream = heapq.heappop(line)
                if self._holds(place, stream):
                    yield stream

    def _urgent(self, now_s: float) -> list[int]:
        """Return the sharing streams, most urgent first, while the engines keep up; else none.

        Who is served before whom matters little then, and being in time does.
        """
        if self._arrivals.per_second(now_s) > KEEPS_UP * self.capacity_fps:
            return []
        waiting = [stream for place, stream in self._lines[SHARING] if self._holds(place, stream)]
        return sorted(waiting, key=lambda stream: self._slots[stream].place[2])

    def _holds(self, place: Place, stream: int) -> bool:
        """Tell whether an entry of a line still holds: lines are tidied as they are read."""
        slot = self._slots.get(stream)
        return slot is not None and slot.ticket is not None and slot.place == place

    def _hold_until(self, batch: list[Ticket[T]], now_s: float) -> float | None:
        """Return until when to wait for company, or None to run at once."""
        size = len(batch)
        if size >= min(self.best_size, len(self._slots)):
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
        batch = [self._serve(ticket, now_s) for ticket in batch]
        slack_s = min((t.deadline_s for t in batch), default=float("inf")) - now_s
        while self._uploads and len(batch) < self.best_size:
            if batch and self.times.cautious(len(batch) + 1) > slack_s:
                break
            batch.append(self._uploads.popleft())
        return Decision(batch, late)

    def _serve(self, ticket: Ticket[T], now_s: float) -> Ticket[T]:
        assert ticket.stream is not None  # noqa: S101  uploads are added afterwards
        slot = self._slots[ticket.stream]
        ticket = slot.serve(ticket, now_s)
        if ticket.kind == SHARING:
            self._virtual_s = max(self._virtual_s, slot.tag_s)
        return ticket

    def _return(self, ticket: Ticket[T]) -> None:
        assert ticket.stream is not None  # noqa: S101  only streams' frames are held
        slot = self._slots[ticket.stream]
        slot.ticket = ticket
        self._line_up(ticket.stream, slot)

    def _line_up(self, stream: int, slot: Slot[T]) -> None:
        heapq.heappush(self._lines[slot.place[0]], (slot.place, stream))
