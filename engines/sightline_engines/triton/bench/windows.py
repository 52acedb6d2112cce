"""From answers to figures: windows, whether they agree, percentiles."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightline_engines.triton.bench.answers import Answers, Failed
from sightline_engines.triton.bench.figures import Failures, Latency, Window
from sightline_engines.triton.bench.options import Closed, Open

COMPARED = 3  # windows that must agree, as perf_analyzer has it
LATE_S = 0.001


def window(answers: Answers, seconds: float, cpu_s: float = 0.0) -> Window:
    """Sum up one window; `cpu_s` is what the busiest process that sends has used in it."""
    answered = len(answers.times)
    return Window(
        seconds=seconds,
        requests=answered,
        failed=len(answers.failed),
        requests_per_s=answered / seconds if seconds > 0 else 0.0,
        mean_ms=float(answers.latencies_ms.mean()) if answered else 0.0,
        client_cpu=cpu_s / seconds if seconds > 0 else 0.0,
    )


def agree(windows: Sequence[Window], tolerance: float) -> bool:
    """Tell whether the last three windows are each within the tolerance of their mean."""
    last = windows[-COMPARED:]
    if len(last) < COMPARED or not all(one.requests for one in last):
        return False
    return all(
        abs(value - np.mean(values)) <= tolerance * np.mean(values)
        for values in ([w.requests_per_s for w in last], [w.mean_ms for w in last])
        for value in values
    )


def keeps_rate(windows: Sequence[Window], load: Closed | Open, tolerance: float) -> bool:
    """Tell whether as many requests were answered as a rate asks for, within the tolerance.

    A server that falls behind a little in each window agrees with itself all the time. What
    chance takes from a few random arrivals, or a border from even ones, isn't held against it.
    """
    if isinstance(load, Closed):
        return True
    asked = load.rate * sum(one.seconds for one in windows)
    chance = 3 * math.sqrt(asked) if load.arrivals == "poisson" else 1.0
    return sum(one.requests for one in windows) >= asked * (1 - tolerance) - chance


def percentile(ordered: Sequence[float] | NDArray[np.float64], share: float) -> float:
    """Return the smallest value that at least this share of the values doesn't exceed.

    `ordered` rises and isn't empty; what is returned is one of them, never between two.
    """
    # The share of a count is exact in decimals, not in floats: 0.07 * 100 is 7.000000000000001.
    rank = math.ceil(round(share * len(ordered), 9))
    return float(ordered[max(1, rank) - 1])


def latency(answers: Answers) -> Latency | None:
    """Return the figures of the requests that were answered; None if none was."""
    found = np.sort(answers.latencies_ms)
    if not len(found):
        return None
    p50, p90, p95, p99 = (percentile(found, share) for share in (0.5, 0.9, 0.95, 0.99))
    return Latency(
        mean=float(found.mean()),
        deviation=float(found.std()),
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        longest=float(found[-1]),
    )


def failures(failed: Sequence[Failed]) -> tuple[Failures, ...]:
    """Count failures by kind, the most frequent first."""
    counts = Counter(kind for _, kind, _ in failed)
    first: dict[str, str] = {}
    for _, kind, said in failed:
        first.setdefault(kind, said)
    kinds = sorted(counts, key=lambda kind: (-counts[kind], kind))
    return tuple(Failures(kind, counts[kind], first[kind]) for kind in kinds)


def sent_late(answers: Answers) -> int:
    """Count the requests that left noticeably after they were due."""
    return int((answers.times[:, 1] - answers.times[:, 0] >= LATE_S).sum())
