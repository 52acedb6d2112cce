"""How many 15-fps streams the server carries with nearly every frame in time: M8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.load.run import run_load
from benchmarks.serving.numbers import whole_streams
from benchmarks.serving.plan import Plan
from benchmarks.serving.server import Server

IN_TIME = 0.99
STEPS = 5
LOWEST, HIGHEST = 0.3, 1.05  # shares of the roofline
SEEDS = (1, 2)  # each total is tried with two sets of phases, counted together


@dataclass(frozen=True, slots=True)
class Capacity:
    """The largest total that was carried."""

    total_fps: float
    tried: tuple[tuple[float, float], ...]  # total, share in time

    @property
    def streams(self) -> float:
        """15-fps streams; a slower last stream counts for its share of one."""
        return self.total_fps / 15


def most_streams(plan: Plan, roofline: float, deadline_ms: float) -> Capacity:
    """Search for the largest total of 15-fps streams, the last one being slower.

    Whole streams alone would make steps of 15 / roofline, a third on a small machine.
    """
    with Server(plan, deadline_ms) as server:

        def share_in_time(total_fps: float) -> float:
            streams = whole_streams(total_fps)
            loads = [plan.load(server.url, streams, deadline_ms, seed) for seed in SEEDS]
            reports = [run_load(load) for load in loads]
            offered = sum(report.offered for report in reports)
            return sum(report.in_time for report in reports) / max(1, offered)

        return bisect(share_in_time, LOWEST * roofline, HIGHEST * roofline)


def bisect(share: Callable[[float], float], lowest: float, highest: float) -> Capacity:
    """Close in on the largest total whose share in time is enough; 0 where not even `lowest` is."""
    tried = [(lowest, share(lowest))]
    if tried[0][1] < IN_TIME:
        return Capacity(0.0, tuple(tried))
    for _ in range(STEPS):
        middle = (lowest + highest) / 2
        tried.append((middle, share(middle)))
        if tried[-1][1] >= IN_TIME:
            lowest = middle
        else:
            highest = middle
    return Capacity(lowest, tuple(tried))
