"""Many streams, one model: frames in, outcomes out, batches chosen by the scheduler.

Everything here runs on the event loop. What decodes, letterboxes, infers and postprocesses is
a runner, in a worker process as a rule; several runners of the same model take turns. A frame
is decoded only when its batch runs, so a frame that a newer one replaces costs nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from sightline_backend.admission import RETRY_AFTER_S, Load, RateWish, admit
from sightline_backend.batch import Failed, NotRun, Outcome, Work
from sightline_backend.batch_times import BatchTimes
from sightline_backend.errors import Refused
from sightline_backend.lane import Lane, Observer, Pending, Shared, Tap
from sightline_backend.scheduler import Scheduler
from sightline_backend.serving.background import Untold
from sightline_backend.serving.devices import Devices
from sightline_backend.serving.turns import Machine
from sightline_backend.slot import PROMISED
from sightline_backend.workers.runner import LONGEST_LOAD_S, Runner
from sightline_engines.errors import EngineError
from sightline_engines.picture import PictureLimits
from sightline_engines.types import ModelSpec, ServedModel

DEADLINE_RUNS = 2.5  # a frame waits for one run at most, has its own, and travels
RELOAD_S, RELOAD_TIMES = 60.0, 3.0  # a restart gets the longer: this, or times the first load
LAST_BATCH_S = 5.0  # for the batches in hand when the model is closed

_CLOSING = "This model is being closed; try again in a moment."


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much one model takes on."""

    deadline_s: float = 0.5
    max_batch: int = 8
    max_streams: int = 64
    max_uploads: int = 32
    picture: PictureLimits = field(default_factory=PictureLimits)


@dataclass(frozen=True, slots=True)
class Stream:
    """An open stream; `fps` is what it was promised, None for a share of what is left."""

    id: int
    fps: float | None


@dataclass(frozen=True, slots=True)
class BatcherLoad:
    """What waits at one moment, and what the engines sustain."""

    frames: int  # of live streams, in line
    longest_s: float  # how long the first of them has waited; 0: none does
    capacity_fps: float
    reserved_fps: float
    best_batch: int


class Batcher:
    """Runs one model for many streams and uploads; use as `async with Batcher(…)`.

    All methods are for the event loop's thread.
    """

    def __init__(
        self,
        runners: Sequence[Runner],
        limits: BatchLimits,
        observer: Observer,
        machine: Machine | None = None,
    ) -> None:
        """`runners` are one or more of the same model; `machine` is shared with other models."""
        self.replaced = False  # another engine serves this model's name now; streams move there
        self.at_triton = False  # whoever answers as it starts; set before it is entered
        self.background = False  # yields to other models; set before it is entered
        self.fallback: str | None = None  # why this file and not another; set before it is entered
        self._runners = runners
        self._machine = machine or Machine(len(runners))
        self._devices: Devices
        self._limits = limits
        self._observer = observer
        self._ids = itertools.count(1)
        self._news = asyncio.Event()
        self._closing = False
        self._trouble: str | None = None
        self._scheduler: Scheduler[Pending]
        self._lanes: list[Lane] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Load the engines, measure one, and begin to take frames; close them if that fails."""
        if self.background:
            self._observer = Untold()
        limits = self._limits
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(LONGEST_LOAD_S):
                # All at once: what one takes while the others rest is not what it will take.
                starts = (runner.start(limits.max_batch) for runner in self._runners)
                measured, *_ = await asyncio.gather(*starts)
        except BaseException as error:
            await asyncio.gather(*(runner.close() for runner in self._runners))
            if isinstance(error, Exception):  # not who merely stopped waiting
                self._observer.model_load("failed")
            if isinstance(error, TimeoutError):
                raise EngineError(
                    f"{self.spec.name} took more than {LONGEST_LOAD_S:.0f} s to load."
                ) from error
            raise
        self._observer.model_load("loaded")
        reload_s = max(RELOAD_S, RELOAD_TIMES * (time.monotonic() - started_s))
        times = BatchTimes(measured.batch_s, measured.per_frame_s)
        self._scheduler = Scheduler(
            times, limits.max_batch, limits.max_uploads, engines=len(self._runners)
        )
        self._devices = Devices(self._machine, self, self.spec.name)
        shared = Shared(
            self._scheduler,
            self._observer,
            self._news,
            self._engines_changed,
            reload_s,
            self._devices,
            lambda: self._trouble is None,
            self.background,
            self.at_triton,
        )
        self._lanes = [Lane(runner, shared) for runner in self._runners]
        self._tasks = [asyncio.create_task(lane.work()) for lane in self._lanes]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the running batches a moment, then close the engines; what waits ends as closing."""
        self._closing = True
        self._devices.leave()
        self._end_all(NotRun("closing"))
        for lane in self._lanes:
            lane.stop()
        self._news.set()
        _, stuck = await asyncio.wait(self._tasks, timeout=LAST_BATCH_S)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(runner.close() for runner in self._runners))

    @property
    def spec(self) -> ModelSpec:
        """The model that runs."""
        return self._runners[0].spec

    @property
    def served(self) -> ServedModel:
        """What answers, for showing; of several engines one that has fallen back goes first."""
        all_served = [runner.served for runner in self._runners]
        served = next((one for one in all_served if one.fallback), all_served[0])
        return served if self.fallback is None else replace(served, fallback=self.fallback)

    @property
    def trouble(self) -> str | None:
        """Why no engine of this model runs at the moment; None while one does."""
        return self._trouble

    @property
    def deadline_s(self) -> float:
        """Seconds from capture after which an answer is worth nothing.

        The setting, or on a machine too slow for it two and a half engine runs: there, late boxes
        are better than none.
        """
        return max(self._limits.deadline_s, DEADLINE_RUNS * self._scheduler.times.mean(1))

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._scheduler.streams

    @property
    def waiting(self) -> int:
        """How many frames and uploads are in line."""
        return self._scheduler.waiting

    @property
    def engines_running(self) -> int:
        """How many engines can take a batch."""
        return sum(lane.trouble is None for lane in self._lanes)

    @property
    def pids(self) -> list[int]:
        """The processes of its engines."""
        return [runner.pid for runner in self._runners if runner.pid is not None]

    def load(self, now_s: float) -> BatcherLoad:
        """Return how much it has to do."""
        scheduler = self._scheduler
        since_s = scheduler.longest_since_s
        return BatcherLoad(
            frames=scheduler.waiting - scheduler.waiting_uploads,
            longest_s=0.0 if since_s is None else now_s - since_s,
            capacity_fps=scheduler.capacity_fps,
            reserved_fps=scheduler.promised_fps,
            best_batch=scheduler.best_size,
        )

    @property
    def promised_part(self) -> float:
        """The part of its device that its streams are sure of, 0 to 1."""
        if self.background or not self._scheduler.streams:
            return 0.0
        scheduler = self._scheduler
        return scheduler.reserved_fps(time.monotonic()) / max(scheduler.capacity_fps, 1e-6)

    @property
    def promised_fps(self) -> float:
        """The frames a second that its streams are sure of."""
        return self._scheduler.promised_fps

    def tap(self, tap: Tap | None) -> None:
        """Have `tap` see every frame that ran, with its outcome; None: nobody."""
        for lane in self._lanes:
            lane.tap = tap

    @property
    def idle(self) -> bool:
        """Whether no stream is open and nothing waits."""
        return self._scheduler.streams == 0 and self._scheduler.waiting == 0

    def open_stream(self, wish: RateWish | None = None) -> Stream:
        """Open a stream; raises Refused when the engines have all they can take."""
        self._check_open()
        scheduler = self._scheduler
        if scheduler.streams >= self._limits.max_streams:
            raise Refused(
                f"All {self._limits.max_streams} streams are in use; try again later.",
                RETRY_AFTER_S,
                "streams",
            )
        coming_fps = self._devices.promised_before
        return self._opened(admit(wish or RateWish(), self._room(coming_fps)))

    def take_over(self, wish: RateWish) -> Stream:
        """Open a stream that another engine of this model had; it is never refused.

        It keeps its rate where that can be promised here, else it shares what is left.
        """
        try:
            return self._opened(admit(wish, self._room()))
        except Refused:
            return self._opened(None)

    def renounce(self, stream: Stream) -> float | None:
        """Set nothing aside for a stream that moves away; returns what it was promised."""
        return self._scheduler.renounce(stream.id)

    def _room(self, coming_fps: float = 0.0) -> Load:
        """Return what can be promised here, other models' promises aside.

        `coming_fps` is kept for streams that are still at the engine that this one replaced.
        """
        scheduler = self._scheduler
        reserved_fps = scheduler.reserved_fps(time.monotonic()) + coming_fps
        elsewhere = self._devices.promised_elsewhere
        return Load(scheduler.capacity_fps, reserved_fps, elsewhere)

    def _opened(self, fps: float | None) -> Stream:
        stream = Stream(next(self._ids), fps)
        self._scheduler.open(stream.id, fps)
        return stream

    def close_stream(self, stream: Stream) -> None:
        """Give a stream's slot back; the frame in it ends as closing."""
        ticket = self._scheduler.close(stream.id)
        if ticket is not None:
            ticket.item.end(NotRun("closing"), self._observer)

    def submit(self, stream: Stream, work: Work) -> asyncio.Future[Outcome]:
        """Take a stream's newest frame; the one that still waits ends as superseded."""
        pending = Pending.of(work)
        if self._closing:
            pending.end(NotRun("closing"), self._observer)
        elif self._resting:
            pending.end(self._resting, self._observer)
        else:
            replaced = self._scheduler.offer(stream.id, pending, work.deadline_s, time.monotonic())
            if replaced is not None:
                owed = replaced.kind == PROMISED
                replaced.item.end(NotRun("superseded", owed), self._observer)
            self._news.set()
        return pending.future

    def enqueue(self, work: Work, *, counted: bool = True) -> asyncio.Future[Outcome]:
        """Take an upload; raises Refused when too many wait already.

        One that isn't `counted` is a frame of our own, told to no observer.
        """
        self._check_open()
        pending = Pending.of(work, counted)
        if not self._scheduler.enqueue(pending, work.deadline_s):
            raise Refused("Too many uploads are waiting; try again in a moment.", 1.0, "uploads")
        self._news.set()
        return pending.future

    def _check_open(self) -> None:
        if self._closing:
            raise Refused(_CLOSING, 1.0, "closing")
        if self._resting:
            raise Refused(self._resting.message, RETRY_AFTER_S, "engine")

    @property
    def _resting(self) -> Failed | None:
        """Return the answer to every frame while no engine is even being started."""
        if all(lane.resting for lane in self._lanes):
            return Failed("engine_lost", self._lanes[0].trouble or "")
        return None

    def _engines_changed(self) -> None:
        """Note whether an engine runs; end what waits if none will for a while."""
        down = [lane.trouble for lane in self._lanes]
        self._trouble = None if None in down else down[0]
        if self._resting:
            self._end_all(self._resting)

    def _end_all(self, outcome: Outcome) -> None:
        for ticket in self._scheduler.drain():
            ticket.item.end(outcome, self._observer)
