"""Run one batch from encoded pictures to outcomes, on whichever thread calls it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sightline_engines.errors import EngineMemoryError, SightlineError
from sightline_engines.picture import PictureLimits, decode_frame
from sightline_engines.pipeline import DetectOptions, detect
from sightline_engines.triton.remote import Call
from sightline_engines.types import Detections, Engine, Image, ServedModel, Timings


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One frame to detect on; times are `time.monotonic()` seconds, the same in every process.

    A live frame comes encoded and is decoded when its batch runs, so that a frame which is
    superseded costs nothing. An upload comes decoded and no larger than the model sees it, so
    that a huge one can't hold up the engine.
    """

    picture: bytes | memoryview | Image
    options: DetectOptions
    received_s: float
    deadline_s: float
    size_wh: tuple[int, int] | None = None  # of the source, when `picture` comes decoded
    decode_ms: float = 0.0  # spent already, when `picture` comes decoded


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """A frame that was run."""

    detections: Detections
    size_wh: tuple[int, int]
    timings: Timings
    batch_size: int


@dataclass(frozen=True, slots=True)
class NotRun:
    """A frame that never reached the engine; reason: superseded, late or closing.

    `owed`: an answer to it had been promised.
    """

    reason: str
    owed: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A frame whose picture or batch failed, and how to fix it."""

    code: str
    message: str


Outcome: TypeAlias = Done | NotRun | Failed


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    index: int
    image: Image  # may be smaller than the source
    size_wh: tuple[int, int]  # of the source
    decode_ms: float


@dataclass(frozen=True, slots=True)
class Remote:
    """How it stands with a model that runs on a server, after a batch."""

    served: ServedModel  # who answers now: the server, or what stands in for it
    trouble: str | None  # why nobody does
    calls: tuple[Call, ...] = ()  # how what was sent there fared; none: nothing was


@dataclass(frozen=True, slots=True, eq=False)
class BatchRun:
    """One outcome for each work, in order, and where the batch's time went."""

    outcomes: list[Outcome]
    decode_s: float = 0.0
    engine_s: float | None = None  # letterbox to boxes; None: no picture reached the engine
    most: int | None = None  # the largest batch that memory or a deadline has room for, once known
    remote: Remote | None = None  # None: the model runs here


def run_batch(engine: Engine, works: Sequence[Work], limits: PictureLimits) -> BatchRun:
    """Run a batch; a bad picture fails alone, a bad engine fails them all.

    A batch too large for the device's memory is tried once more in two halves; the larger of
    them is then the most that is ever asked of it.
    """
    started_s = time.monotonic()
    outcomes: list[Outcome] = [NotRun("closing")] * len(works)
    decoded: list[_Decoded] = []
    for index, work in enumerate(works):
        try:
            decoded.append(_decode(index, work, engine.spec.input_size_wh, limits))
        except SightlineError as error:
            outcomes[index] = Failed(error.code, error.message)
    ready_s = time.monotonic()
    if not decoded:
        return BatchRun(outcomes, ready_s - started_s)
    most = None
    try:
        _detect(engine, works, decoded, outcomes, started_s)
    except EngineMemoryError:
        most = (len(decoded) + 1) // 2
        for part in (decoded[:most], decoded[most:]):
            _detect_or_fail(engine, works, part, outcomes, started_s)
    except SightlineError as error:
        _fail(decoded, outcomes, error)
    if not any(isinstance(outcomes[item.index], Done) for item in decoded):
        return BatchRun(outcomes, ready_s - started_s, most=most)
    return BatchRun(outcomes, ready_s - started_s, time.monotonic() - ready_s, most)


def _detect(
    engine: Engine,
    works: Sequence[Work],
    decoded: Sequence[_Decoded],
    outcomes: list[Outcome],
    started_s: float,
) -> None:
    """Run the engine on decoded pictures and put their outcomes in place."""
    detections, stages = detect(
        engine,
        [item.image for item in decoded],
        [works[item.index].options for item in decoded],
        [item.size_wh for item in decoded],
    )
    ended_s = time.monotonic()
    for item, found in zip(decoded, detections, strict=True):
        work = works[item.index]
        timings = Timings(
            decode=item.decode_ms,
            queue=(started_s - work.received_s) * 1e3 - work.decode_ms,
            preprocess=stages.preprocess,
            infer=stages.infer,
            postprocess=stages.postprocess,
            total=(ended_s - work.received_s) * 1e3,
        )
        outcomes[item.index] = Done(found, item.size_wh, timings, len(decoded))


def _detect_or_fail(
    engine: Engine,
    works: Sequence[Work],
    decoded: Sequence[_Decoded],
    outcomes: list[Outcome],
    started_s: float,
) -> None:
    if not decoded:
        return
    try:
        _detect(engine, works, decoded, outcomes, started_s)
    except SightlineError as error:
        _fail(decoded, outcomes, error)


def _fail(decoded: Sequence[_Decoded], outcomes: list[Outcome], error: SightlineError) -> None:
    for item in decoded:
        outcomes[item.index] = Failed(error.code, error.message)


def _decode(index: int, work: Work, input_wh: tuple[int, int], limits: PictureLimits) -> _Decoded:
    if isinstance(work.picture, np.ndarray):
        height, width = work.picture.shape[:2]
        return _Decoded(index, work.picture, work.size_wh or (width, height), work.decode_ms)
    started_s = time.monotonic()
    image, size_wh = decode_frame(work.picture, limits, input_wh)
    return _Decoded(index, image, size_wh, (time.monotonic() - started_s) * 1e3)
