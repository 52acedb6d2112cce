"""A candidate that runs beside what serves, on a share of the same frames; nobody sees its boxes.

It never has more than one frame waiting, and its engine has the device only while no other
has work: a frame that it can't take at once is left out. A run that has begun ends first, so a
frame of others may wait for one whole run of the candidate's.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import structlog

from sightline_backend.batch import Done, Outcome, Work
from sightline_backend.batcher import Batcher
from sightline_backend.errors import Refused
from sightline_backend.lane import Observer
from sightline_backend.options import known_to
from sightline_backend.pool import EnginePool
from sightline_engines import wire
from sightline_engines.agreement import Agreement, Boxes, agreement, least_overlap
from sightline_engines.pipeline import DetectOptions
from sightline_engines.types import ModelSpec

KEPT = 10_000  # times of each kind; the oldest go
PAUSE_S = 5.0  # after a bug in a comparison

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ShadowWish:
    """What is to be tried beside a model, on which share of its frames and for how long."""

    model: str
    artefact_id: int
    spec: ModelSpec
    share: float  # 0..1
    seconds: float | None = None  # None: until it is ended


@dataclass(slots=True, eq=False)
class Tally:
    """What was found so far."""

    compared: int = 0
    skipped: int = 0  # frames that were chosen while another was in hand
    failed: int = 0
    agreeing: int = 0
    counted: int = 0
    iou_sum: float = 0.0
    pairs: int = 0
    only_serving: Counter[str] = field(default_factory=Counter)
    only_candidate: Counter[str] = field(default_factory=Counter)
    timed: int = 0  # frames that both ran in batches of the same size
    serving_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    candidate_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))

    def add(self, found: Agreement, serving: Done, candidate: Done) -> None:
        """Count one frame; an engine's time is its whole batch's, so only equal ones compare."""
        self.compared += 1
        self.agreeing += found.agreeing
        self.counted += found.counted
        self.iou_sum += sum(found.ious)
        self.pairs += len(found.ious)
        self.only_serving.update(found.only_one)
        self.only_candidate.update(found.only_other)
        if serving.batch_size == candidate.batch_size:
            self.timed += 1
            self.serving_ms.append(serving.timings.infer)
            self.candidate_ms.append(candidate.timings.infer)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values; None where nothing was compared yet."""
        return {
            "compared": self.compared,
            "skipped": self.skipped,
            "failed": self.failed,
            "agreeing": self.agreeing / self.counted if self.counted else None,
            "mean_iou": self.iou_sum / self.pairs if self.pairs else None,
            "only_serving": dict(self.only_serving),
            "only_candidate": dict(self.only_candidate),
            "timed": self.timed,
            "infer_ms": {
                "serving": _spread(self.serving_ms),
                "candidate": _spread(self.candidate_ms),
            },
            "infer_times": _ratio(self.serving_ms, self.candidate_ms),
        }


class Shadow:
    """One trial; `run` holds the engines until it ends."""

    def __init__(self, wish: ShadowWish, observer: Observer, random: Random | None = None) -> None:
        self.wish = wish
        self.running = False
        self._observer = observer
        self._random = random or Random()  # noqa: S311  which frames are taken is no secret
        self._tally = Tally()
        self._over = asyncio.Event()
        self._one: asyncio.Task[None] | None = None  # the frame in hand
        self._began_s = self._ended_s = 0.0

    def end(self) -> None:
        """Have it end; `run` returns soon."""
        self._over.set()

    def report(self) -> dict[str, Any]:
        """Return what was found, as plain values."""
        wish, spec = self.wish, self.wish.spec
        until_s = time.monotonic() if self.running else self._ended_s
        return {
            "model": wish.model,
            "artefact_id": wish.artefact_id,
            "version": spec.version,
            "format": str(spec.format),
            "precision": spec.precision,
            "engine": spec.engine,
            "share": wish.share,
            "running": self.running,
            "seconds": round(until_s - self._began_s, 1),
            **self._tally.to_dict(),
        }

    async def run(self, pool: EnginePool, ready: asyncio.Future[None]) -> None:
        """Try the candidate until it is time; `ready` is set once frames are compared.

        Raises what keeps one of the two from loading, and then `ready` is left to the caller.
        """
        wish = self.wish
        async with pool.using(wish.model) as serving, pool.beside(wish.spec) as candidate:
            self._began_s = time.monotonic()
            self.running = True

            def see(work: Work, outcome: Outcome) -> None:
                self._see(serving, candidate, work, outcome)

            serving.tap(see)
            if not ready.done():
                ready.set_result(None)
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wish.seconds):
                        await self._over.wait()
            finally:
                serving.tap(None)
                self.running = False
                self._ended_s = time.monotonic()
                if self._one is not None:
                    self._one.cancel()
                    await asyncio.wait([self._one])

    def _see(self, serving: Batcher, candidate: Batcher, work: Work, outcome: Outcome) -> None:
        """Take a frame that was answered, or leave it; called between batches, so brief."""
        if not isinstance(outcome, Done) or self._random.random() >= self.wish.share:
            return
        if self._one is not None and not self._one.done():
            self._tally.skipped += 1
            return
        self._one = asyncio.create_task(self._try(serving, candidate, work, outcome))

    async def _try(self, serving: Batcher, candidate: Batcher, work: Work, answer: Done) -> None:
        """Have the candidate run a frame, and compare its boxes with the answer's."""
        options = _translated(work.options, serving.spec, candidate.spec)
        if options is None:  # it knows none of the classes that were asked for
            return
        copy = replace(work, options=options, received_s=time.monotonic(), deadline_s=math.inf)
        try:
            outcome = await candidate.enqueue(copy)
            if not isinstance(outcome, Done):
                self._tally.failed += 1
                return
            overlap = least_overlap((serving.spec.precision, candidate.spec.precision))
            one = Boxes(answer.detections, serving.spec.labels)
            other = Boxes(outcome.detections, candidate.spec.labels)
            found = await asyncio.to_thread(agreement, one, other, options.conf, overlap)
        except Refused:
            self._tally.skipped += 1
        except Exception:  # the outermost of this task: a bug here harms no answer
            log.exception("a shadow's frame failed")
            self._tally.failed += 1
            await asyncio.sleep(PAUSE_S)
        else:
            self._tally.add(found, answer, outcome)
            self._observer.shadow_compared(found.agreeing == found.counted)


def _translated(
    options: DetectOptions, serving: ModelSpec, candidate: ModelSpec
) -> DetectOptions | None:
    """Return options with the candidate's numbers of the classes; None: it knows none of them."""
    if options.classes is None:
        return options
    asked = tuple(serving.labels[i] for i in sorted(options.classes))
    names = known_to(candidate, wire.Settings(classes=asked)).classes
    ids = frozenset(candidate.labels.index(name) for name in names or ())
    return replace(options, classes=ids) if ids else None


def _spread(times_ms: Sequence[float]) -> dict[str, float] | None:
    values = sorted(times_ms)
    if not values:
        return None
    return {
        "p50": round(statistics.median(values), 3),
        "p95": round(values[min(len(values) - 1, int(0.95 * len(values)))], 3),
    }


def _ratio(serving_ms: Sequence[float], candidate_ms: Sequence[float]) -> float | None:
    """Return the candidate's median time over the other's: 2 is half as fast."""
    one, other = _spread(serving_ms), _spread(candidate_ms)
    return round(other["p50"] / one["p50"], 3) if one and other and one["p50"] else None
