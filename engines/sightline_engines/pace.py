"""Which of several engines is the fastest with a model on this machine: by trying."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from sightline_engines.types import Engine

ROUNDS = 5
ENOUGH_S = 1.5  # slow models are compared on fewer rounds, two at least
CLEARLY = 0.9  # of the first one's time: a tie goes to the first, so that the choice is steady


def fastest(engines: Sequence[Engine]) -> Engine:
    """Return the engine with the least time for one call, and close the others.

    They take turns, and the best of some rounds counts: other work on the machine only ever
    adds time.
    """
    first = engines[0]
    if len(engines) == 1:
        return first
    width, height = first.spec.input_size_wh
    tensor = np.full((first.spec.static_batch or 1, height, width, 3), 114, np.uint8)
    best_s = [float("inf")] * len(engines)
    began_s = time.perf_counter()
    for done in range(ROUNDS):
        if done >= 2 and time.perf_counter() - began_s > ENOUGH_S:
            break
        for index, engine in enumerate(engines):
            started_s = time.perf_counter()
            engine.infer(tensor)
            best_s[index] = min(best_s[index], time.perf_counter() - started_s)
    winner = min(range(len(engines)), key=best_s.__getitem__)
    chosen = engines[winner] if best_s[winner] < CLEARLY * best_s[0] else first
    for engine in engines:
        if engine is not chosen:
            engine.close()
    return chosen
