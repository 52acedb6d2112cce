"""When each request of an open loop is due."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

from sightline_engines.triton.bench.options import Open


def due_times(load: Open, seed: int, share: int = 0, of: int = 1) -> Iterator[float]:
    """Yield seconds from the start, without end, of one of `of` processes that share a rate.

    Constant: the processes take turns. Poisson: each has its part of the rate, which together
    are Poisson again.
    """
    if load.arrivals == "constant":
        for number in count(share, of):
            yield number / load.rate
        return
    chance = random.Random(f"{seed}/{share}")  # noqa: S311  arrivals, no secret
    at_s = 0.0
    while True:
        at_s += chance.expovariate(load.rate / of)
        yield at_s


def shared_out(total: int, share: int, of: int) -> int:
    """Return one process's part of a number of requests; the first ones get what is over."""
    return total // of + (share < total % of)
