"""Evaluation: average precision on the pictures kept aside, hits and false alarms."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sightline_training.boxes import Array
from sightline_training.detectors import Detector, settle
from sightline_training.measure.matches import judge
from sightline_training.samples import Sample

Item = dict[str, Any]  # an annotation as pycocotools takes it

TALL = 0.1  # of the picture's height: what a webcam mostly shows
AP_OVERLAP = 0.65  # suppression under average precision, as YOLOX is measured


@dataclass(frozen=True, slots=True)
class Precision:
    """Average precision of one class on one set."""

    ap50: float
    ap50_tall: float  # boxes taller than a tenth of the picture
    ap50_small: float  # the rest
    ap: float  # mean over overlaps 0.50 to 0.95
    boxes: int
    tall_boxes: int


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A class at overlaps 0.50 to 0.95, and at 101 recalls; -1 where there is nothing to find."""

    precision: NDArray[np.float64]  # (overlap, recall, band); bands: all, tall, small
    score: NDArray[np.float64]  # the same: the score that reaches it
    heights: tuple[float, ...]  # of the boxes to find, as shares of their picture's


def measured(samples: Sequence[Sample], found: Sequence[Array], label: int) -> Measured:
    """Match the found rows (x1, y1, x2, y2, class, score) with pycocotools.

    Areas are relative heights, so that pycocotools' bands of area sort boxes by those.
    """
    truths: list[Item] = []
    results: list[Item] = []
    for index, (sample, rows) in enumerate(zip(samples, found, strict=True), 1):
        height = sample.bgr.shape[0]
        for box in sample.boxes[sample.boxes[:, 4] == label]:
            crowd = int(box[5] == 0)
            truths.append(_item(index, len(truths) + 1, box, height) | {"iscrowd": crowd})
        for row in rows[rows[:, 4] == label]:
            item = _item(index, len(results) + 1, row, height)
            results.append(item | {"score": float(row[5]), "iscrowd": 0})
    shared: Item = {
        "images": [{"id": index + 1} for index in range(len(samples))],
        "categories": [{"id": 1, "name": "it"}],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        pair = [_coco(shared | {"annotations": items}) for items in (truths, results)]
        evaluation = COCOeval(*pair, "bbox")
        evaluation.params.areaRng = [[0, 1e9], [TALL, 1e9], [0, TALL]]
        evaluation.params.areaRngLbl = ["all", "tall", "small"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision, score = (evaluation.eval[key][:, :, 0, :, -1] for key in ("precision", "scores"))
    heights = tuple(t["area"] for t in truths if not t["iscrowd"])
    return Measured(precision, score, heights)


def average_precision(samples: Sequence[Sample], found: Sequence[Array], label: int) -> Precision:
    """Average the precision of the found rows (x1, y1, x2, y2, class, score) over recall."""
    got = measured(samples, found, label)
    return Precision(
        ap50=_mean(got.precision[0, :, 0]),
        ap50_tall=_mean(got.precision[0, :, 1]),
        ap50_small=_mean(got.precision[0, :, 2]),
        ap=_mean(got.precision[:, :, 0]),
        boxes=len(got.heights),
        tall_boxes=sum(height > TALL for height in got.heights),
    )


def _item(image: int, identity: int, box: Array, height: int) -> Item:
    x1, y1, x2, y2 = (float(v) for v in box[:4])
    return {
        "id": identity,
        "image_id": image,
        "category_id": 1,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (y2 - y1) / height,
    }


def _coco(content: Item) -> COCO:
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco


def _mean(values: NDArray[np.float64]) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else float("nan")


def run_over(samples: Sequence[Sample], detector: Detector) -> list[Array]:
    """Detect on every sample; return the rows, suppressed as average precision is measured."""
    return [settle(detector(sample.bgr), AP_OVERLAP) for sample in samples]


def f1(samples: Sequence[Sample], found: Sequence[Array], label: int, confidence: float) -> float:
    """Return the harmonic mean of recall and precision at an overlap of a half."""
    hits, wrong, missed = count_matches(samples, found, label, confidence)
    return 2 * hits / max(1, 2 * hits + wrong + missed)


def best_threshold(samples: Sequence[Sample], found: Sequence[Array], label: int) -> float:
    """Find the confidence with the best F1 at an overlap of a half, in steps of 0.05."""
    steps = [round(0.05 * step, 2) for step in range(1, 19)]
    return max(steps, key=lambda confidence: f1(samples, found, label, confidence))


def count_matches(
    samples: Sequence[Sample], found: Sequence[Array], label: int, confidence: float = 0.0
) -> tuple[int, int, int]:
    """Count hits, false detections and missed boxes; crowds count neither way."""
    pairs = zip(samples, found, strict=True)
    judged = [judge(sample, rows, label, confidence) for sample, rows in pairs]
    missed = sum(int(one.missed.sum()) for one in judged)
    hits = sum(len(one.boxes) for one in judged) - missed
    return hits, sum(int(one.wrong.sum()) for one in judged), missed
