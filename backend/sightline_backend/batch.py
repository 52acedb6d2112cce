"""Run one batch from encoded pictures to outcomes, on whichever thread calls it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sightline_engines.errors import SightlineError
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.pipeline import DetectOptions, default_options, detect
from sightline_engines.types import Detections, Engine, Image, Timings

MEASURED_RUNS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One frame to detect on; times are `time.monotonic()` seconds.

    A live frame comes encoded and is decoded when its batch runs, so that a frame which is
    superseded costs nothing. An upload comes decoded, so that a huge one can't hold up the
    engine.
    """

    picture: bytes | memoryview | Image
    options: DetectOptions
    received_s: float
    deadline_s: float
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
    """A frame that never reached the engine; reason: superseded, late or closing."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A frame whose picture or batch failed, and how to fix it."""

    code: str
    message: str


Outcome: TypeAlias = Done | NotRun | Failed


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    index: int
    image: Image
    decode_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class BatchRun:
    """One outcome for each work, in order, and where the batch's time went."""

    outcomes: list[Outcome]
    decode_s: float = 0.0
    engine_s: float | None = None  # letterbox to boxes; None: no picture reached the engine


def run_batch(engine: Engine, works: Sequence[Work], limits: PictureLimits) -> BatchRun:
    """Run a batch; a bad picture fails alone, a bad engine fails them all."""
    started_s = time.monotonic()
    outcomes: list[Outcome] = [NotRun("closing")] * len(works)
    decoded: list[_Decoded] = []
    for index, work in enumerate(works):
        try:
            decoded.append(_decode(index, work, limits))
        except SightlineError as error:
            outcomes[index] = Failed(error.code, error.message)
    decode_s = time.monotonic() - started_s
    if not decoded:
        return BatchRun(outcomes, decode_s)
    try:
        detections, stages = detect(
            engine, [d.image for d in decoded], [works[d.index].options for d in decoded]
        )
    except SightlineError as error:
        for item in decoded:
            outcomes[item.index] = Failed(error.code, error.message)
        return BatchRun(outcomes, decode_s)
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
        height, width = item.image.shape[:2]
        outcomes[item.index] = Done(found, (width, height), timings, len(decoded))
    return BatchRun(outcomes, decode_s, ended_s - started_s - decode_s)


def _decode(index: int, work: Work, limits: PictureLimits) -> _Decoded:
    if isinstance(work.picture, np.ndarray):
        return _Decoded(index, work.picture, work.decode_ms)
    started_s = time.monotonic()
    image = decode_picture(work.picture, limits)
    return _Decoded(index, image, (time.monotonic() - started_s) * 1e3)


def measure_batch_times(engine: Engine, max_batch: int) -> dict[int, float]:
    """Warm the engine up and return its median seconds by batch size: 1, 2, 4, …

    Stops where a larger batch no longer gives more frames per second, and at the batch the
    model was exported for.
    """
    width, height = engine.spec.input_size_wh
    picture = np.full((height, width, 3), 114, np.uint8)
    options = default_options(engine.spec)
    largest = min(max_batch, engine.spec.static_batch or max_batch)
    measured: dict[int, float] = {}
    size = 1
    while size <= largest:
        seconds = [_timed(engine, picture, options, size) for _ in range(MEASURED_RUNS + 1)]
        measured[size] = statistics.median(seconds[1:])
        if measured[size] / size > 0.95 * measured[1] and size > 1:
            break
        size *= 2
    return measured


def _timed(engine: Engine, picture: Image, options: DetectOptions, size: int) -> float:
    started_s = time.monotonic()
    detect(engine, [picture] * size, [options] * size)
    return time.monotonic() - started_s
