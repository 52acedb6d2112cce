"""What a crash of the engine costs: M9."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.load.run import loading
from benchmarks.serving.bounds import cold_load_s
from benchmarks.serving.numbers import streams_of
from benchmarks.serving.plan import BenchmarkError, Plan
from benchmarks.serving.rounds import HALF
from benchmarks.serving.server import Server

BEFORE_S, AFTER_S = 3.0, 12.0


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill of the engine's process under half load."""

    back_s: float  # until the first answer in time to a frame that was due after the kill
    cold_s: float  # a new process, from its start to its first inference
    sessions_lost: int
    failed: int  # frames that ended as errors


def kills(plan: Plan, roofline: float, deadline_ms: float) -> list[Kill]:
    """Kill the engine's process a few times, each in a run of its own."""
    with Server(plan, deadline_ms) as server:
        return [_kill(plan, server, roofline, deadline_ms, n + 1) for n in range(plan.rounds)]


def _kill(plan: Plan, server: Server, roofline: float, deadline_ms: float, seed: int) -> Kill:
    cold_s = cold_load_s(plan)
    streams = streams_of(HALF * roofline)
    spec = plan.load(server.url, streams, deadline_ms, seed)
    spec = replace(spec, seconds=BEFORE_S + AFTER_S, timeline=True)
    with loading(spec) as load:
        _wait_for(server, len(streams))
        time.sleep(plan.warm_s + BEFORE_S)
        killed_s = server.kill_worker()
        report = load.report()
    back_s = first_after(report.timeline, killed_s, deadline_ms / 1e3)
    if back_s is None:
        raise BenchmarkError(f"No answer came in time in {AFTER_S:g} s after a kill.")
    lost = report.closed + sum(report.refused.values())
    return Kill(back_s, cold_s, lost, sum(report.errors.values()))


def first_after(
    timeline: Sequence[tuple[float, float]], killed_s: float, deadline_s: float
) -> float | None:
    """Return how long after a kill the first frame that was due after it was answered in time.

    Frames from before don't count: their answers may have been under way already.
    """
    back = [at for due, at in timeline if due > killed_s and at - due <= deadline_s]
    return min(back) - killed_s if back else None


def _wait_for(server: Server, streams: int) -> None:
    until_s = time.monotonic() + 60
    while server.streams() < streams:
        if time.monotonic() > until_s:
            raise BenchmarkError(f"Only {server.streams()} of {streams} streams opened.")
        time.sleep(0.1)
