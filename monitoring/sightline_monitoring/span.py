"""What changed between two readings of the metrics: rises, rates, means, quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from sightline_monitoring.quantile import histogram_quantile

Reading: TypeAlias = Mapping[str, float]
"""A sample's name, with its one label's value after a slash, to its value."""


class Span:
    """Two readings and the seconds between them; nothing is extrapolated beyond them.

    A counter that fell has begun again at zero, as a model's does that is loaded once more.
    """

    def __init__(self, old: Reading, new: Reading, seconds: float) -> None:
        self._old, self._new, self.seconds = old, new, seconds

    def now(self, name: str) -> float | None:
        """Return a value at the end; None if there is none."""
        return self._new.get(name)

    def labelled(self, metric: str) -> dict[str, str]:
        """Return a metric's samples at the end by their label's value."""
        start = f"{metric}/"
        return {name.removeprefix(start): name for name in self._new if name.startswith(start)}

    def total(self, metric: str) -> float | None:
        """Return the sum over a metric's labels at the end; None of nothing."""
        names = self.labelled(metric).values()
        return sum(self._new[name] for name in names) if names else None

    def increase(self, *names: str) -> float | None:
        """Return by how much counters rose together; None where none of them is known."""
        known = [name for name in names if name in self._new]
        if not known or self.seconds <= 0:
            return None
        return sum(self._rise(name) for name in known)

    def rate(self, *names: str) -> float | None:
        """Return their rise a second."""
        return ratio(self.increase(*names), self.seconds)

    def mean(self, histogram: str, label: str = "") -> float | None:
        """Return the mean of what a histogram observed; None if that is nothing."""
        return ratio(
            self.increase(f"{histogram}_sum{label}"), self.increase(f"{histogram}_count{label}")
        )

    def quantile(self, histogram: str, share: float) -> float | None:
        """Return a quantile of what a histogram observed; None if that is nothing."""
        bounds = self.labelled(f"{histogram}_bucket")
        buckets = sorted((float(bound), self.increase(bounds[bound]) or 0.0) for bound in bounds)
        return histogram_quantile(share, buckets) if buckets else None

    def _rise(self, name: str) -> float:
        old, new = self._old.get(name, 0.0), self._new[name]
        return new - old if new >= old else new


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return a quotient; None where a part is unknown or the whole is nothing."""
    return part / whole if part is not None and whole else None
