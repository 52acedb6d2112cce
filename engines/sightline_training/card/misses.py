"""Misses: which held-out boxes the model leaves out at its default threshold, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_training.boxes import Array, area, intersection, iou
from sightline_training.detectors import yolox
from sightline_training.measure.evaluate import run_over
from sightline_training.measure.material import SET_OF, require, threshold
from sightline_training.samples import LABELS, Sample, load

Mask = NDArray[np.bool_]

_EDGE = 0.006  # of a side: a box that comes so close to the edge is cut by it
_COVERED = 0.25  # of a box's own area that lies in another: then they overlap


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A picture's boxes and finds of one class, and which of them met no other."""

    sample: Sample
    boxes: Array  # (n, 6), crowds left out
    found: Array  # (m, 6), above the threshold
    missed: Mask  # (n,)
    wrong: Mask  # (m,)

    @property
    def heights(self) -> Array:
        """The boxes' heights, of the picture's."""
        share: Array = (self.boxes[:, 3] - self.boxes[:, 1]) / self.sample.bgr.shape[0]
        return share


def judge(sample: Sample, rows: Array, label: int, confidence: float) -> Judged:
    """Pair finds with boxes, best score first, as `evaluate.count_matches` counts them."""
    found = rows[(rows[:, 4] == label) & (rows[:, 5] >= confidence)]
    boxes = sample.boxes[sample.boxes[:, 4] == label]
    taken, wrong = np.zeros(len(boxes), bool), np.ones(len(found), bool)
    for index, overlap in enumerate(iou(found[:, :4], boxes[:, :4])):
        free = np.where(taken, -1, overlap)
        best = int(np.argmax(free)) if len(free) else -1
        if best >= 0 and free[best] >= 0.5:
            wrong[index] = False
            taken[best] = boxes[best, 5] > 0
    real = boxes[:, 5] > 0
    return Judged(sample, boxes[real], found, ~taken[real], wrong)


def judge_all(model: Path, data: Path) -> dict[int, list[Judged]]:
    """Judge every held-out picture, class by class; raises FileNotFoundError without material."""
    require(model, data)
    confidence, detector = threshold(model), yolox(model, {0: 0, 1: 1})
    judged = {}
    for label, name in SET_OF.items():
        samples = load(data, name, {}, held=True)
        found, _ = run_over(samples, detector)
        pairs = zip(samples, found, strict=True)
        judged[label] = [judge(sample, rows, label, confidence) for sample, rows in pairs]
    return judged


def groups(judged: Judged) -> dict[str, Mask]:
    """Sort boxes by what may make them hard: name of the group to membership (n,)."""
    height, width = judged.sample.bgr.shape[:2]
    tall, boxes = judged.heights, judged.boxes[:, :4]
    near = np.asarray([width, height]) * _EDGE
    low, high = boxes[:, :2] <= near, boxes[:, 2:] >= np.asarray([width, height]) - near
    cut = np.asarray(low.any(1) | high.any(1), bool)
    shared = intersection(boxes, boxes)
    np.fill_diagonal(shared, 0)
    covered = np.asarray(shared.max(1, initial=0) > _COVERED * area(boxes), bool)
    return {
        "under 5 % high": tall < 0.05,
        "5 to 10 %": (tall >= 0.05) & (tall < 0.1),
        "10 to 25 %": (tall >= 0.1) & (tall < 0.25),
        "over 25 %": tall >= 0.25,
        "cut by the edge": cut,
        "whole": ~cut,
        "overlapped": covered,
        "apart": ~covered,
    }


def tally(judged: list[Judged]) -> dict[str, tuple[int, int]]:
    """Count a class: name of the group to missed boxes and all boxes."""
    totals: dict[str, tuple[int, int]] = {"all": (0, 0)}
    for one in judged:
        for name, member in (groups(one) | {"all": np.ones(len(one.boxes), bool)}).items():
            missed, boxes = totals.get(name, (0, 0))
            totals[name] = (missed + int((member & one.missed).sum()), boxes + int(member.sum()))
    return totals


def rows(model: Path, data: Path) -> list[tuple[str, ...]]:
    """Give the card's table of misses, its heading first: a row for each group."""
    return table(judge_all(model, data))


def table(judged: dict[int, list[Judged]]) -> list[tuple[str, ...]]:
    """Lay the counts of both classes side by side."""
    counts = [tally(judged[label]) for label in SET_OF]
    names = ("boxes", *(f"{LABELS[label]}s missed" for label in SET_OF))
    return [names, *((name, *(_share(c.get(name, (0, 0))) for c in counts)) for name in counts[0])]


def _share(count: tuple[int, int]) -> str:
    missed, boxes = count
    return f"{missed / boxes:.0%} ({missed} of {boxes})" if boxes else "none there"
