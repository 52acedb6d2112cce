"""Evaluation: average precision on the pictures kept aside, hits and false alarms."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sightline_training.boxes import Array, iou
from sightline_training.detectors import Detector, settle
from sightline_training.samples import Sample

Item = dict[str, Any]  # an annotation as pycocotools takes it

TALL = 0.1  # of the picture's height: what a webcam mostly shows
OVERLAP = 0.65  # suppression while measuring, as YOLOX is measured


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


def run_over(samples: Sequence[Sample], detector: Detector) -> tuple[list[Array], float]:
    """Detect on every sample; return the rows, suppressed, and the mean time of a picture in ms."""
    found, spent = [], 0.0
    for sample in samples:
        start = time.perf_counter()
        rows = detector(sample.bgr)
        spent += time.perf_counter() - start
        found.append(settle(rows, OVERLAP))
    return found, 1000 * spent / max(1, len(samples))


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
    hits = wrong = missed = 0
    for sample, rows in zip(samples, found, strict=True):
        mine = rows[(rows[:, 4] == label) & (rows[:, 5] >= confidence)]
        boxes = sample.boxes[sample.boxes[:, 4] == label]
        overlap = iou(mine[:, :4], boxes[:, :4])
        taken = np.zeros(len(boxes), bool)
        for row in overlap:
            best = int(np.argmax(np.where(taken, -1, row))) if len(row) else -1
            if best >= 0 and not taken[best] and row[best] >= 0.5:
                hits += int(boxes[best, 5] > 0)
                taken[best] = boxes[best, 5] > 0
            else:
                wrong += 1
        missed += int((~taken & (boxes[:, 5] > 0)).sum())
    return hits, wrong, missed
