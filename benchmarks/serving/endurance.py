"""Long runs: whether results grow older (M4) or memory grows (M10)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.load.report import LoadReport
from benchmarks.load.run import RunningLoad, loading
from benchmarks.serving.numbers import Slope, slope
from benchmarks.serving.plan import Plan
from benchmarks.serving.server import Server

EVERY_S = 5.0
SETTLING = 0.15  # share of a soak in which buffers and arenas still find their size


@dataclass(frozen=True, slots=True)
class Long:
    """A long run, and the server's memory through it."""

    report: LoadReport
    memory: tuple[tuple[float, float], ...]  # seconds, MB


def endure(plan: Plan, streams: tuple[float, ...], deadline_ms: float, minutes: float) -> Long:
    """Put a load on a fresh server for some minutes and watch its memory."""
    spec = replace(plan.load("", streams, deadline_ms), seconds=minutes * 60, timeline=True)
    with Server(plan, deadline_ms) as server, loading(replace(spec, url=server.url)) as load:
        memory = _watch(server, load)
        return Long(load.report(), memory)


def age_growth(report: LoadReport) -> Slope:
    """Return how the p99 of result age moves, in ms a minute, over windows of ten seconds."""
    return slope([(window.at_s / 60, window.age_ms.p99) for window in report.windows])


def memory_growth(memory: Sequence[tuple[float, float]]) -> Slope:
    """Return how memory moves once it has settled, in MB an hour."""
    if not memory:
        return slope([])
    settled_s = memory[0][0] + SETTLING * (memory[-1][0] - memory[0][0])
    return slope([(at_s / 3600, mb) for at_s, mb in memory if at_s >= settled_s])


def _watch(server: Server, load: RunningLoad) -> tuple[tuple[float, float], ...]:
    samples: list[tuple[float, float]] = []
    started_s = time.monotonic()
    while load.process.poll() is None:
        samples.append((time.monotonic() - started_s, server.memory_mb()))
        time.sleep(EVERY_S)
    return tuple(samples[1:-1])  # the load was starting, or had ended
