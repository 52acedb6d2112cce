"""Drive one engine: frames in, outcomes out, batches chosen by the scheduler.

Everything here runs on the event loop except the batch itself (decode, letterbox, engine,
postprocess), which has the batcher's one worker thread. A frame is decoded only when its
batch runs, so a frame that a newer one replaces costs nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, TypeVar

from sightline_backend.batch import (
    Done,
    Failed,
    NotRun,
    Outcome,
    Work,
    measure_batch_times,
    run_batch,
)
from sightline_backend.batch_times import BatchTimes
from sightline_backend.errors import Refused
from sightline_backend.scheduler import Scheduler, Ticket
from sightline_engines.picture import PictureLimits
from sightline_engines.types import Engine

R = TypeVar("R")

DEADLINE_RUNS = 3.0  # a deadline is never shorter than this many engine runs

_INTERNAL = Failed("internal", "The server failed on this frame; its log says why.")

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Is told what happened; called on the event loop's thread."""

    def batch_ran(self, size: int, seconds: float) -> None:
        """`size` frames ran in one engine call of `seconds`, letterbox to boxes."""

    def frame_ended(self, work: Work, outcome: Outcome) -> None:
        """A frame or an upload has its one outcome."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much one engine takes on."""

    deadline_s: float = 0.5
    max_batch: int = 8
    max_streams: int = 64
    max_uploads: int = 32
    picture: PictureLimits = field(default_factory=PictureLimits)


@dataclass(frozen=True, slots=True, eq=False)
class _Pending:
    work: Work
    future: asyncio.Future[Outcome]


class Batcher:
    """Runs one engine for many streams and uploads; use as `async with Batcher(…)`.

    All methods are for the event loop's thread.
    """

    def __init__(self, engine: Engine, limits: BatchLimits, observer: Observer) -> None:
        self.engine = engine
        self._limits = limits
        self._observer = observer
        self._ids = itertools.count(1)
        self._news = asyncio.Event()
        self._closing = False
        self._thread: ThreadPoolExecutor
        self._scheduler: Scheduler[_Pending]
        self._loop_task: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        """Warm the engine up, measure it, and begin to take frames; close it if that fails."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        limits = self._limits
        try:
            measured_s = await self._on_thread(
                lambda: measure_batch_times(self.engine, limits.max_batch)
            )
        except BaseException:
            self._thread.submit(self.engine.close)
            self._thread.shutdown(wait=False)
            raise
        self._scheduler = Scheduler(BatchTimes(measured_s), limits.max_batch, limits.max_uploads)
        self._loop_task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the running batch end, then close the engine; what waits ends as closing."""
        self._closing = True
        self._news.set()
        for ticket in self._scheduler.drain():
            self._end(ticket.item, NotRun("closing"))
        await self._loop_task
        await self._on_thread(self.engine.close)
        self._thread.shutdown()

    @property
    def deadline_s(self) -> float:
        """Seconds from capture after which an answer is worth nothing.

        The setting, or on a machine too slow for it three engine runs: there, late boxes
        are better than none.
        """
        return max(self._limits.deadline_s, DEADLINE_RUNS * self._scheduler.times.mean(1))

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._scheduler.streams

    @property
    def idle(self) -> bool:
        """Whether no stream is open and nothing waits."""
        return self._scheduler.streams == 0 and self._scheduler.waiting == 0

    def open_stream(self) -> int:
        """Return a new stream's id; raises Refused when the engine has all it can take."""
        if self._closing:
            raise Refused("This model is being closed; try again in a moment.", 1.0)
        if self._scheduler.streams >= self._limits.max_streams:
            raise Refused(
                f"All {self._limits.max_streams} streams are in use; try again later.", 5.0
            )
        stream = next(self._ids)
        self._scheduler.open(stream)
        return stream

    def close_stream(self, stream: int) -> None:
        """Give a stream's slot back; the frame in it ends as closing."""
        ticket = self._scheduler.close(stream)
        if ticket is not None:
            self._end(ticket.item, NotRun("closing"))

    def submit(self, stream: int, work: Work) -> asyncio.Future[Outcome]:
        """Take a stream's newest frame; the one that still waits ends as superseded."""
        pending = self._pending(work)
        if self._closing:
            self._end(pending, NotRun("closing"))
            return pending.future
        replaced = self._scheduler.offer(stream, pending, work.deadline_s, time.monotonic())
        if replaced is not None:
            self._end(replaced.item, NotRun("superseded"))
        self._news.set()
        return pending.future

    def enqueue(self, work: Work) -> asyncio.Future[Outcome]:
        """Take an upload; raises Refused when too many wait already."""
        pending = self._pending(work)
        if self._closing:
            raise Refused("This model is being closed; try again in a moment.", 1.0)
        if not self._scheduler.enqueue(pending, work.deadline_s):
            raise Refused("Too many uploads are waiting; try again in a moment.", 1.0)
        self._news.set()
        return pending.future

    async def _run(self) -> None:
        while not self._closing:
            try:
                await self._step()
            except Exception:  # the outermost loop: whatever happens, it goes on
                log.exception("the batcher failed")
                for ticket in self._scheduler.drain():
                    self._end(ticket.item, _INTERNAL)

    async def _step(self) -> None:
        """Run the next batch, or wait until there may be one."""
        self._news.clear()
        now_s = time.monotonic()
        decision = self._scheduler.next(now_s)
        for ticket in decision.late:
            self._end(ticket.item, NotRun("late"))
        if decision.batch:
            await self._run_batch(decision.batch)
            return
        wait_s = None if decision.wake_s is None else max(0.0, decision.wake_s - now_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), wait_s)

    async def _run_batch(self, batch: list[Ticket[_Pending]]) -> None:
        works = [ticket.item.work for ticket in batch]
        try:
            run = await self._on_thread(lambda: run_batch(self.engine, works, self._limits.picture))
        except Exception:  # a bug in one batch must not fail the frames that wait
            log.exception("a batch of %d failed", len(batch))
            for ticket in batch:
                self._end(ticket.item, _INTERNAL)
            return
        for ticket, outcome in zip(batch, run.outcomes, strict=True):
            self._end(ticket.item, outcome)
        if run.engine_s is not None:
            pairs = zip(batch, run.outcomes, strict=True)
            answered = [ticket for ticket, outcome in pairs if isinstance(outcome, Done)]
            per_frame_s = run.decode_s / len(batch)
            self._scheduler.ran(answered, run.engine_s, time.monotonic(), per_frame_s)
            self._observer.batch_ran(len(answered), run.engine_s)

    def _end(self, pending: _Pending, outcome: Outcome) -> None:
        if not pending.future.done():  # its client may have gone and cancelled it
            pending.future.set_result(outcome)
        self._observer.frame_ended(pending.work, outcome)

    def _pending(self, work: Work) -> _Pending:
        return _Pending(work, asyncio.get_running_loop().create_future())

    def _on_thread(self, function: Callable[[], R]) -> asyncio.Future[R]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function)
