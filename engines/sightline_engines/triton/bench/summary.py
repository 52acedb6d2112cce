"""From windows to one result."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sightline_engines.triton.bench.answers import Answers, joined
from sightline_engines.triton.bench.figures import Measured, Window
from sightline_engines.triton.bench.options import BenchOptions, Open, Stable
from sightline_engines.triton.bench.payload import Payload
from sightline_engines.triton.bench.split import Reading, splits
from sightline_engines.triton.bench.windows import (
    COMPARED,
    agree,
    failures,
    keeps_rate,
    latency,
    sent_late,
)

BUSY = 0.85  # of a core, above which a process that sends may be what limits


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """A window that is over, with what was answered in it and the server's counters around it."""

    window: Window
    answers: Answers
    before: Reading
    after: Reading | None  # None: the server was gone


def summary(options: BenchOptions, payload: Payload, ended: Sequence[Ended], cut: str) -> Measured:
    """Sum up a measurement; `cut` says what ended it before its time, if anything did."""
    until = options.until
    windows = tuple(one.window for one in ended)
    counted = list(ended)
    if isinstance(until, Stable) and not cut:
        counted = counted[-COMPARED:]
    last_windows = [one.window for one in counted]
    tolerance = until.tolerance if isinstance(until, Stable) else Stable().tolerance
    # What was cut short may have been so before the first answers came.
    kept = bool(cut) or keeps_rate(last_windows, options.load, tolerance)
    steady = isinstance(until, Stable) and agree(windows, until.tolerance)
    cpu = statistics.fmean([one.client_cpu for one in last_windows] or [0.0])
    answers = joined(one.answers for one in counted)
    seconds = sum(one.window.seconds for one in counted)
    per_s = len(answers.times) / seconds if seconds > 0 else 0.0
    last = counted[-1].after if counted else None
    return Measured(
        model=options.model,
        load=str(options.load),
        sends=payload.sends,
        batch=options.batch,
        complete=not cut,
        stable=steady and kept and not cut,
        remark="; ".join(_remarks(options, last_windows, cut, steady, kept, cpu)),
        windows=windows,
        counted=len(counted),
        seconds=seconds,
        requests=len(answers.times),
        requests_per_s=per_s,
        pictures_per_s=per_s * options.batch,
        latency_ms=latency(answers),
        failures=failures(answers.failed),
        sent_late=sent_late(answers),
        server=splits(counted[0].before, last) if last else (),
        client_cpu=cpu,
        keeps_rate=kept,
    )


def _remarks(  # noqa: PLR0913, PLR0917  called in one place
    options: BenchOptions,
    counted: Sequence[Window],
    cut: str,
    steady: bool,
    kept: bool,
    cpu: float,
) -> Iterator[str]:
    load, until = options.load, options.until
    if cut:
        yield cut
    elif isinstance(until, Stable) and not steady:
        yield (
            f"after {until.most_windows} windows the last three still differ by more than "
            f"{until.tolerance:.0%} of their mean; the figures are theirs"
        )
    if isinstance(load, Open) and not kept:
        per_s = sum(one.requests for one in counted) / sum(one.seconds for one in counted)
        yield (
            f"the server doesn't take this rate: of {load.rate:g} requests/s {per_s:.1f} were "
            "answered"
        )
    if cpu > BUSY:
        yield (
            f"a process that sends used {cpu:.0%} of a core, so it may be what limits and not the "
            f"server; measure again with more than {options.processes} of them (--processes)"
        )
