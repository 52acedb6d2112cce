"""How far two models agree on one picture: the rule that conversions are checked by, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_engines.convert.parity import iou_matrix
from sightline_engines.types import Detections

NEAR = 0.05  # of the threshold: a box there may fall on either side of it


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two models have in common on one picture."""

    agreeing: int  # boxes of both that have a partner
    counted: int  # boxes of both; of those just above the threshold only the agreeing ones
    ious: tuple[float, ...]  # of the pairs
    only_one: Mapping[str, int]  # boxes that the first model alone has, by class
    only_other: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """A model's boxes, and what its classes are called."""

    found: Detections
    labels: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The class of each box."""
        labels = self.labels
        return [labels[i] if i < len(labels) else str(i) for i in self.found.class_id.tolist()]


def least_overlap(precisions: Sequence[str]) -> float:
    """Return the IoU from which boxes count as the same: INT8 moves them a little."""
    return 0.75 if "int8" in precisions else 0.9


def agreement(one: Boxes, other: Boxes, conf: float, overlap: float) -> Agreement:
    """Compare boxes of the same classes, by name, the greatest overlap first."""
    pairs = _pairs(one, other, overlap)
    only_one = _alone(one, {i for i, _, _ in pairs}, conf)
    only_other = _alone(other, {j for _, j, _ in pairs}, conf)
    alone = sum(only_one.values()) + sum(only_other.values())
    ious = tuple(iou for _, _, iou in pairs)
    return Agreement(2 * len(pairs), 2 * len(pairs) + alone, ious, only_one, only_other)


def _pairs(one: Boxes, other: Boxes, overlap: float) -> list[tuple[int, int, float]]:
    ious = iou_matrix(one.found.xyxy, other.found.xyxy)
    same = np.array([[a == b for b in other.names] for a in one.names], bool)
    ious = np.where(same.reshape(ious.shape), ious, 0)
    pairs: list[tuple[int, int, float]] = []
    while ious.size:
        i, j = _largest(ious)
        if ious[i, j] < overlap:
            break
        pairs.append((i, j, float(ious[i, j])))
        ious[i, :] = ious[:, j] = -1
    return pairs


def _largest(ious: NDArray[np.float32]) -> tuple[int, int]:
    row, column = np.unravel_index(int(ious.argmax()), ious.shape)
    return int(row), int(column)


def _alone(boxes: Boxes, paired: set[int], conf: float) -> dict[str, int]:
    """Count the boxes without a partner by class, those just above the threshold left out."""
    alone: dict[str, int] = {}
    for index, (name, score) in enumerate(zip(boxes.names, boxes.found.score, strict=True)):
        if index not in paired and score >= conf + min(NEAR, conf / 2):
            alone[name] = alone.get(name, 0) + 1
    return alone
