"""How fast one engine is in this process: alone, and with all that a frame needs around it."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sightline_engines.benchmark.usage import Usage, read_usage
from sightline_engines.picture import PictureLimits, decode_frame
from sightline_engines.pipeline import default_options, detect
from sightline_engines.preprocess import preprocess
from sightline_engines.types import Engine

_WINDOWS = 4  # successive windows whose medians must agree for an early stop
_STEADY = 0.01  # how far they may lie apart
_LEAST_RUNS = 100  # before an early stop: a p99 of fewer says nothing
_LEAST_IN_WINDOW = 10

Clock = Callable[[], int]  # monotonic nanoseconds


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a phase runs."""

    seconds: float
    warmup_s: float
    may_stop_early: bool  # not with several side by side: one that ends gives the others room


@dataclass(slots=True)
class Phase:
    """What one phase measured: every single run, in milliseconds."""

    times_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    decode_ms: float = 0.0  # means of one batch
    preprocess_ms: float = 0.0
    infer_ms: float = 0.0
    postprocess_ms: float = 0.0
    usage: Usage = field(default_factory=Usage)


def measure_engine(
    engine: Engine, pictures: Sequence[bytes], batch: int, pace: Pace, begin: Callable[[], None]
) -> Phase:
    """Time `engine.infer` on one ready tensor; `begin` is called after the warm-up and may wait."""
    size = engine.spec.input_size_wh
    chosen = list(itertools.islice(itertools.cycle(pictures), batch))
    decoded = [decode_frame(data, PictureLimits(), size) for data in chosen]
    tensor = preprocess([d[0] for d in decoded], engine.spec, [d[1] for d in decoded]).tensor
    return timed(lambda: engine.infer(tensor), pace, begin)


def measure_pipeline(
    engine: Engine, pictures: Sequence[bytes], batch: int, pace: Pace, begin: Callable[[], None]
) -> Phase:
    """Time JPEG bytes to boxes, picture after picture, in one thread as a worker does it."""
    size = engine.spec.input_size_wh
    options = [default_options(engine.spec)] * batch
    turn = itertools.cycle(pictures)
    steps: list[tuple[float, float, float, float]] = []

    def run() -> None:
        started = time.perf_counter_ns()
        decoded = [
            decode_frame(data, PictureLimits(), size) for data in itertools.islice(turn, batch)
        ]
        decode_ms = (time.perf_counter_ns() - started) / 1e6
        times = detect(engine, [d[0] for d in decoded], options, [d[1] for d in decoded])[1]
        steps.append((decode_ms, times.preprocess, times.infer, times.postprocess))

    phase = timed(run, pace, begin)
    counted = steps[len(steps) - len(phase.times_ms) :]  # the warm-up's come first
    means = [statistics.fmean(column) for column in zip(*counted, strict=True)]
    phase.decode_ms, phase.preprocess_ms, phase.infer_ms, phase.postprocess_ms = means
    return phase


def timed(
    run: Callable[[], object],
    pace: Pace,
    begin: Callable[[], None],
    clock: Clock = time.perf_counter_ns,
) -> Phase:
    """Run again and again until the time is up or the median is steady; once at least."""
    warm_until = clock() + int(pace.warmup_s * 1e9)
    while clock() < warm_until:
        run()
    begin()
    phase = Phase()
    before, started = read_usage(), clock()
    until = started + int(pace.seconds * 1e9)
    ends: list[int] = []
    while True:
        began = clock()
        run()
        now = clock()
        phase.times_ms.append((now - began) / 1e6)
        ends.append(now - started)
        if now >= until:
            break
        if pace.may_stop_early and steady(phase.times_ms, ends, int(pace.seconds * 1e8)):
            break
    phase.seconds = (now - started) / 1e9
    phase.usage = read_usage().since(before)
    return phase


def steady(times_ms: Sequence[float], ends_ns: Sequence[int], window_ns: int) -> bool:
    """Tell whether the medians of the last windows lie within one per cent.

    A window is so long and holds ten runs at least.
    """
    runs = len(times_ms)
    if runs < _LEAST_RUNS or ends_ns[-1] < _WINDOWS * window_ns:
        return False
    per_window = max(_LEAST_IN_WINDOW, round(runs * window_ns / ends_ns[-1]))
    if runs < _WINDOWS * per_window or runs % per_window:  # looked at once a window
        return False
    medians = [
        statistics.median(times_ms[runs - (i + 1) * per_window : runs - i * per_window])
        for i in range(_WINDOWS)
    ]
    return max(medians) - min(medians) <= _STEADY * statistics.median(medians)
