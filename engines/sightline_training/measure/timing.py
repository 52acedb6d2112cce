"""Timing: candidates in turns on the same pictures, so that a busy machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np

from sightline_training.detectors import through_openvino
from sightline_training.measure.candidates import Entry
from sightline_training.samples import Picture

WARM_UP, ROUNDS = 5, 100


def in_turns(work: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Time pieces of work in turns; return the median of each in seconds."""
    times: list[list[float]] = [[] for _ in work]
    for _ in range(rounds + WARM_UP):
        for one, spent in zip(work, times, strict=True):
            start = time.perf_counter()
            one()
            spent.append(time.perf_counter() - start)
    return [float(np.median(spent[WARM_UP:])) for spent in times]


def pictures_a_second(paths: Sequence[Path]) -> list[float]:
    """Measure networks alone, one picture at a time, through OpenVINO on two threads."""

    def network(path: Path) -> Callable[[], object]:
        loaded = through_openvino(path)
        (width, height), rng = loaded.size_wh, np.random.default_rng(0)
        tensor = rng.uniform(0, 255, (1, 3, height, width)).astype(np.float32)
        return lambda: loaded.run(tensor)

    return [1 / seconds for seconds in in_turns([network(path) for path in paths], ROUNDS)]


def end_to_end_ms(entries: Sequence[Entry], pictures: Sequence[Picture]) -> list[float]:
    """Measure letterbox, network, decoding and suppression of a picture through OpenVINO."""

    def whole(entry: Entry) -> Callable[[], object]:
        opened = replace(entry, detector=entry.candidate.open(through_openvino))
        turn = cycle(pictures)
        return lambda: opened.look(next(turn))

    return [1000 * s for s in in_turns([whole(entry) for entry in entries], 2 * len(pictures))]
