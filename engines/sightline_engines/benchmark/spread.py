"""How single times are spread: percentiles from every one of them, and a histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

_BINS = 40
_ENOUGH = {"p95": 20, "p99": 100}  # runs; of fewer it is hardly more than the slowest
_TAIL = 99.5  # per cent of the runs that the even bins take; the rest are in the last one


@dataclass(frozen=True, slots=True)
class Spread:
    """Times in milliseconds; `counts[i]` of them lie between `edges[i]` and `edges[i + 1]`."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    n: int
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Self | None:
        """Return the spread of single times, None of none."""
        if not times_ms:
            return None
        values = np.asarray(times_ms, np.float64)
        p50, p90, p95, p99 = np.percentile(values, [50, 90, 95, 99]).tolist()
        edges, counts = _histogram(values)
        return cls(float(values.mean()), p50, p90, p95, p99, len(values), edges, counts)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(self), "edges": list(self.edges), "counts": list(self.counts)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        values = {name.name: data[name.name] for name in fields(cls) if name.name in data}
        edges, counts = tuple(data.get("edges", ())), tuple(data.get("counts", ()))
        return cls(**{**values, "edges": edges, "counts": counts})


def _histogram(values: np.typing.NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return edges and counts: a few stragglers don't squeeze all others into one bin."""
    low, most = float(values.min()), float(values.max())
    high = float(np.percentile(values, _TAIL))
    if high <= low:
        return (low, max(most, low)), (len(values),)
    edges = np.linspace(low, high, _BINS + 1)
    if most > high:
        edges = np.append(edges, most)
    counts, _ = np.histogram(values, edges)
    return tuple(edges.tolist()), tuple(counts.tolist())


def few_runs(spread: Spread | None, percentile: str) -> str | None:
    """Return a sentence where a percentile is of too few runs to say much, else None."""
    enough = _ENOUGH.get(percentile, 0)
    if spread is None or spread.n >= enough:
        return None
    return f"{percentile} is of fewer than {enough} runs and says little; measure for longer."
