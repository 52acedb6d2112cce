"""The arithmetic of the figures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Slope:
    """A straight line's rise per unit of x, and the half width of its 95 % interval."""

    rise: float
    half_width: float

    @property
    def lowest(self) -> float:
        """The lower end of the interval."""
        return self.rise - self.half_width

    @property
    def known(self) -> bool:
        """Whether there were points enough for a slope."""
        return math.isfinite(self.half_width)

    def __str__(self) -> str:
        return f"{self.rise:+.2f} ± {self.half_width:.2f}"


def quantile(values: Sequence[float], q: float) -> float:
    """Return the value that a share q of the values doesn't exceed; 0 for none."""
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] if values else 0.0


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the median of the ratios of pairs (above, below); nan for none."""
    ratios = [above / below for above, below in pairs if below]
    return statistics.median(ratios) if ratios else math.nan


def roofline(engine_fps: float, pictures_fps: float, gpu: bool) -> float:
    """Return the frames a second that no server can pass.

    On a processor the engine and the decoding take turns; beside a GPU they overlap.
    """
    if gpu:
        return min(engine_fps, pictures_fps)
    return 1 / (1 / engine_fps + 1 / pictures_fps)


def fair_shares(demands: Sequence[float], capacity: float) -> list[float]:
    """Return max-min fair shares: nobody has more than it asks for, nor can have more
    without taking it from one who has less.
    """
    shares = [0.0] * len(demands)
    left, order = capacity, sorted(range(len(demands)), key=lambda i: demands[i])
    for place, index in enumerate(order):
        shares[index] = min(demands[index], left / (len(order) - place))
        left -= shares[index]
    return shares


def jain(values: Sequence[float]) -> float:
    """Return Jain's index of fairness: 1 when all are alike, 1/n when one has it all."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def fairness(demands: Sequence[float], served: Sequence[float]) -> float:
    """Return Jain's index of what streams got over what was their fair share of all served."""
    shares = fair_shares(demands, sum(served))
    return jain([got / share for got, share in zip(served, shares, strict=True) if share])


def slope(points: Sequence[tuple[float, float]]) -> Slope:
    """Fit a line; neighbours that resemble each other count for less than their number.

    Fewer than three points give a slope of 0 that is known to nothing.
    """
    if len({x for x, _ in points}) < 3:
        return Slope(0.0, math.inf)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    line = statistics.linear_regression(xs, ys)
    rest = [y - line.slope * x - line.intercept for x, y in points]
    square = sum(r * r for r in rest)
    if square <= 1e-12 * max(abs(y) for y in ys) ** 2:
        return Slope(line.slope, 0.0)
    alike = max(0.0, sum(a * b for a, b in pairwise(rest)) / square)
    effective = max(3.0, len(xs) * (1 - alike) / (1 + alike))
    mean = statistics.fmean(xs)
    spread = sum((x - mean) ** 2 for x in xs) * effective / len(xs)
    return Slope(line.slope, 2 * math.sqrt(square / len(xs) / (1 - 2 / effective) / spread))


def bucket_quantile(counts: Mapping[float, float], q: float) -> float | None:
    """Return a quantile of a Prometheus histogram, from its cumulative counts by upper bound.

    Within a bucket it is interpolated, as Prometheus does; None for an empty histogram.
    """
    bounds = sorted(counts)
    total = counts[bounds[-1]] if bounds else 0.0
    if not total:
        return None
    below_bound, below_count = 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= q * total:
            if math.isinf(bound):
                return below_bound
            share = (q * total - below_count) / (counts[bound] - below_count)
            return below_bound + share * (bound - below_bound)
        below_bound, below_count = bound, counts[bound]
    return below_bound


def streams_of(total_fps: float, rate: float = 15.0) -> tuple[float, ...]:
    """Return equal streams, about `rate` each, that make up a total."""
    count = max(1, math.ceil(total_fps / rate - 1e-9))
    return (total_fps / count,) * count


def whole_streams(total_fps: float, rate: float = 15.0) -> tuple[float, ...]:
    """Return as many streams of exactly `rate` as a total holds, and one with what is left."""
    count = int(total_fps / rate + 1e-9)
    left = total_fps - count * rate
    return (rate,) * count + ((left,) if left > 0.01 else ())


def unequal_streams(
    total_fps: float, count: int, rates: Sequence[float] = (30.0, 15.0, 10.0, 5.0)
) -> tuple[float, ...]:
    """Return streams of unequal rates that make up a total."""
    chosen = [rates[i % len(rates)] for i in range(count)]
    return tuple(rate * total_fps / sum(chosen) for rate in chosen)
