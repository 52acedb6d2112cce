"""A runner whose fate is scripted, and a batcher of such runners."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from sightline_backend.batch import BatchRun, Done, Failed, Outcome, Remote, Work
from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.workers.runner import Measured, RunnerLost
from sightline_engines.errors import EngineError
from sightline_engines.pipeline import default_options
from sightline_engines.triton.remote import CallResult
from sightline_engines.types import Detections, ModelSpec, ServedModel, Timings
from tests.fakes import SPEC


class FakeRunner:
    """Answers at once, or is lost, or fails, or can't be started, as it is set to."""

    def __init__(self) -> None:
        self.losses = 0  # how many of the next batches lose it
        self.failures = 0  # how many of the next batches fail
        self.code = "engine_failed"  # of those
        self.broken_starts = 0  # how many of the next starts fail
        self.most: int | None = None
        self.batches: list[int] = []
        self.starts = 0
        self.closed = False
        self.endless = False  # the next batches never end
        self.remote: Remote | None = None  # how it stands with the server that runs the model
        self.may_start = asyncio.Event()
        self.may_start.set()

    @property
    def spec(self) -> ModelSpec:
        return SPEC

    @property
    def pid(self) -> None:
        return None

    @property
    def served(self) -> ServedModel:
        return ServedModel(SPEC.name, SPEC.version, "fake", "fp32", "CPU")

    async def start(self, measure_up_to: int | None) -> Measured:
        await self.may_start.wait()
        self.starts += 1
        if self.broken_starts:
            self.broken_starts -= 1
            raise EngineError("The driver is gone.")
        return Measured({1: 0.001, 2: 0.0015, 4: 0.002, 8: 0.003})

    async def run(self, works: Sequence[Work], expected_s: float) -> BatchRun:
        await asyncio.sleep(0)
        self.batches.append(len(works))
        if self.endless:
            await asyncio.Event().wait()
        if self.losses:
            self.losses -= 1
            raise RunnerLost("crashed", "killed by signal 9")
        if self.failures:
            self.failures -= 1
            return BatchRun([Failed(self.code, "an illegal memory access")] * len(works))
        done: Outcome = Done(Detections.empty(), (64, 64), Timings(), len(works))
        most, self.most = self.most, None
        if self.remote is not None and self.remote.trouble is not None:
            failed = Failed("engine_away", self.remote.trouble)
            return BatchRun([failed] * len(works), remote=self.remote)
        return BatchRun([done] * len(works), 0.0, 0.001, most, self.remote)

    async def close(self) -> None:
        self.closed = True


class Seen:
    """Keeps what an observer is told."""

    def __init__(self) -> None:
        self.restarts: list[str] = []
        self.ended = 0
        self.calls: list[str] = []
        self.fallen_back: list[bool] = []

    def batch_ran(self, size: int, seconds: float) -> None:
        pass

    def engine_worked(self, model: str, seconds: float) -> None:
        pass

    def frame_ended(self, work: Work, outcome: Outcome) -> None:
        self.ended += 1

    def model_load(self, result: str) -> None:
        pass

    def engine_restarted(self, reason: str) -> None:
        self.restarts.append(reason)

    def triton_called(self, result: CallResult, seconds: float) -> None:
        self.calls.append(result)

    def fell_back(self, active: bool) -> None:
        self.fallen_back.append(active)

    def swapped(self, result: str) -> None:
        pass

    def shadow_compared(self, agreed: bool) -> None:
        pass

    def plan_rebuild(self, result: str) -> None:
        pass


def batching(*runners: FakeRunner, seen: Seen | None = None) -> Batcher:
    return Batcher(runners, BatchLimits(), seen or Seen())


def work(deadline_s: float = 5.0) -> Work:
    now_s = time.monotonic()
    return Work(b"never read", default_options(SPEC), now_s, now_s + deadline_s)
