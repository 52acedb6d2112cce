"""Quantiles of a histogram by its buckets, as Prometheus' `histogram_quantile` gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence


def histogram_quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """Return the value below which `share` (0 to 1) of the observations lie; None without any.

    `buckets` are (upper bound, observations at or below it), bounds rising, the last infinite.
    The rules are Prometheus': the value is interpolated linearly inside its bucket; the first
    bucket begins at zero, and one whose bound isn't above zero gives its bound; what lies in the
    infinite bucket is told as the last finite bound.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share is from 0 to 1, got {share}")
    if len(buckets) < 2 or not math.isinf(buckets[-1][0]):
        raise ValueError("a histogram has a finite bucket at least, and an infinite one at the end")
    rank = share * buckets[-1][1]
    if buckets[-1][1] == 0:
        return None
    index = next((i for i, (_, count) in enumerate(buckets[:-1]) if count >= rank), None)
    if index is None:
        return buckets[-2][0]
    end, below = buckets[index]
    if index == 0:
        start, before = 0.0, 0.0
        if end <= 0:
            return end
    else:
        start, before = buckets[index - 1]
    inside = below - before
    return start + (end - start) * ((rank - before) / inside) if inside else None
