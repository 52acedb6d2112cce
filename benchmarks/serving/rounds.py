"""Rounds of the same loads: baselines, then a fresh server under each load in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.load.report import LoadReport
from benchmarks.load.run import run_load
from benchmarks.serving.bounds import Bounds, measure_bounds
from benchmarks.serving.numbers import bucket_quantile, streams_of, unequal_streams
from benchmarks.serving.plan import Plan
from benchmarks.serving.server import Server

FULL, TWICE, HALF = 1.15, 2.0, 0.5  # shares of the roofline
FULL_RATE = 5.0  # frames a second of each camera at FULL
NEEDS: dict[str, tuple[str, ...]] = {
    "M1": ("full",),
    "M2": ("one",),
    "M3": ("full", "twice"),
    "M4": ("half", "twice"),
    "M6": ("half", "full"),
    "M7": ("full",),
    "guards": ("twice",),
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """The server under one load."""

    report: LoadReport
    cpu_s: float  # of all its processes, warm-up included
    lag_p99_ms: float | None  # of its event loop; None: the server doesn't tell

    @property
    def cpu_ms(self) -> float:
        """Processor time of an answered frame."""
        return self.cpu_s / max(1, self.report.answered_ever) * 1e3


@dataclass(frozen=True, slots=True)
class Round:
    """One round: what the machine allows, and what the server did with it."""

    bounds: Bounds
    loads: Mapping[str, Loaded]


def loads_for(only: frozenset[str]) -> list[str]:
    """Return the loads that the wanted figures need, in the order they run."""
    wanted = {load for group in only for load in NEEDS.get(group, ())}
    return [load for load in ("one", "half", "full", "twice") if load in wanted]


def streams_for(load: str, roofline: float) -> tuple[float, ...]:
    """Return the streams of a load, frames a second each."""
    match load:
        case "one":
            return (HALF * roofline,)
        case "half":
            return unequal_streams(HALF * roofline, max(4, round(HALF * roofline / 15)))
        case "full":
            # Slow cameras: a few fast ones, in step by chance, leave the engine idle between.
            return streams_of(FULL * roofline, rate=FULL_RATE)
        case "twice":
            return unequal_streams(TWICE * roofline, max(4, round(TWICE * roofline / 15)))
    raise ValueError(f"There is no load {load!r}.")


def rounds(plan: Plan) -> Iterator[Round]:
    """Yield rounds; all have the deadline of the first one's baselines."""
    names = loads_for(plan.only)
    deadline_ms: float | None = None
    for number in range(plan.rounds if names else 1):
        bounds = measure_bounds(plan)
        deadline_ms = bounds.deadline_ms if deadline_ms is None else deadline_ms
        done: dict[str, Loaded] = {}
        if names:
            with Server(plan, deadline_ms) as server:
                for name in names:
                    streams = streams_for(name, bounds.roofline)
                    done[name] = under(server, plan, streams, deadline_ms, seed=number + 1)
        yield Round(bounds, done)


def under(
    server: Server, plan: Plan, streams: tuple[float, ...], deadline_ms: float, seed: int
) -> Loaded:
    """Put a load on the server."""
    lag, cpu_s = server.loop_lag(), server.cpu_s()  # in this order: asking costs, too
    report = run_load(plan.load(server.url, streams, deadline_ms, seed))
    cpu_s, after = server.cpu_s() - cpu_s, server.loop_lag()
    p99_s = bucket_quantile(
        {bound: count - lag.get(bound, 0) for bound, count in after.items()}, 0.99
    )
    return Loaded(report, cpu_s, None if p99_s is None else p99_s * 1e3)
