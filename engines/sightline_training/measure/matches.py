"""Matches: which finds of a picture met which of its boxes, and which met none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_training.boxes import Array, area, intersection, iou
from sightline_training.samples import Sample

Mask = NDArray[np.bool_]

SAME = 0.5  # overlap from which a find is a box
INSIDE = 0.5  # share of a find's own area from which it lies in a crowd


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A picture's boxes and finds of one class, and which of them met no other."""

    sample: Sample
    boxes: Array  # (n, 6), crowds left out
    found: Array  # (m, 6), from the threshold on
    missed: Mask  # (n,)
    wrong: Mask  # (m,); neither met a box nor lies in a crowd

    @property
    def heights(self) -> Array:
        """The boxes' heights, of the picture's."""
        share: Array = (self.boxes[:, 3] - self.boxes[:, 1]) / self.sample.bgr.shape[0]
        return share


def judge(sample: Sample, rows: Array, label: int, confidence: float = 0.0) -> Judged:
    """Pair finds with boxes, best score first; what is left in a crowd counts neither way."""
    found = rows[(rows[:, 4] == label) & (rows[:, 5] >= confidence)]
    drawn = sample.boxes[sample.boxes[:, 4] == label]
    boxes, crowds = drawn[drawn[:, 5] > 0], drawn[drawn[:, 5] == 0]
    overlap = iou(found[:, :4], boxes[:, :4])
    missed, wrong = np.ones(len(boxes), bool), np.ones(len(found), bool)
    for index in np.argsort(-found[:, 5], kind="stable") if len(boxes) else ():
        free = np.where(missed, overlap[index], -1)
        best = int(np.argmax(free))
        if free[best] >= SAME:
            missed[best] = wrong[index] = False
    shared = intersection(found[:, :4], crowds[:, :4])
    wrong &= ~(shared >= INSIDE * area(found[:, :4])[:, None]).any(1)
    return Judged(sample, boxes, found, missed, wrong)
