"""Evaluation: average precision on the pictures kept aside, false alarms, and speed."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sightline_engines.runtimes import import_openvino
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
    ap: float  # mean over overlaps 0.50 to 0.95
    boxes: int
    tall_boxes: int


def average_precision(samples: Sequence[Sample], found: Sequence[Array], label: int) -> Precision:
    """Measure the found rows (x1, y1, x2, y2, class, score) with pycocotools.

    Areas are relative heights, so that pycocotools' bands of area sort boxes by those.
    """
    images: list[dict[str, int]] = []
    truths: list[Item] = []
    results: list[Item] = []
    for index, (sample, rows) in enumerate(zip(samples, found, strict=True), 1):
        images.append({"id": index})
        height = sample.bgr.shape[0]
        for box in sample.boxes[sample.boxes[:, 4] == label]:
            crowd = int(box[5] == 0)
            truths.append(_item(index, len(truths) + 1, box, height) | {"iscrowd": crowd})
        for row in rows[rows[:, 4] == label]:
            item = _item(index, len(results) + 1, row, height)
            results.append(item | {"score": float(row[5]), "iscrowd": 0})
    categories = [{"id": 1, "name": "it"}]
    with contextlib.redirect_stdout(io.StringIO()):
        measured = COCOeval(
            _coco({"images": images, "annotations": truths, "categories": categories}),
            _coco({"images": images, "annotations": results, "categories": categories}),
            "bbox",
        )
        measured.params.areaRng = [[0, 1e9], [TALL, 1e9]]
        measured.params.areaRngLbl = ["all", "tall"]
        measured.evaluate()
        measured.accumulate()
    table = measured.eval["precision"][:, :, 0, :, -1]  # (overlap, recall, band)
    real = [t for t in truths if not t["iscrowd"]]
    return Precision(
        ap50=_mean(table[0, :, 0]),
        ap50_tall=_mean(table[0, :, 1]),
        ap=_mean(table[:, :, 0]),
        boxes=len(real),
        tall_boxes=sum(t["area"] > TALL for t in real),
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
    """Detect on every sample; return the rows and the mean time of a picture in ms."""
    found, spent = [], 0.0
    for sample in samples:
        start = time.perf_counter()
        rows = detector(sample.bgr)
        spent += time.perf_counter() - start
        found.append(settle(rows, OVERLAP))
    return found, 1000 * spent / max(1, len(samples))


def false_alarms(samples: Sequence[Sample], found: Sequence[Array], confidence: float) -> float:
    """Count detections per 100 pictures in which nobody drew a person."""
    empty = [
        int((rows[:, 5] >= confidence).sum())
        for sample, rows in zip(samples, found, strict=True)
        if not (sample.boxes[:, 4] == 0).any()
    ]
    return 100 * sum(empty) / max(1, len(empty))


def best_threshold(samples: Sequence[Sample], found: Sequence[Array], label: int) -> float:
    """Find the confidence with the best F1 at an overlap of a half, in steps of 0.05."""
    scores = {}
    for confidence in np.arange(0.05, 0.95, 0.05):
        hits, wrong, missed = count_matches(samples, found, label, float(confidence))
        scores[round(float(confidence), 2)] = 2 * hits / max(1, 2 * hits + wrong + missed)
    return max(scores, key=lambda c: scores[c])


def count_matches(
    samples: Sequence[Sample], found: Sequence[Array], label: int, confidence: float
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


def speed(path: Path, threads: int = 2, rounds: int = 200) -> float:
    """Measure pictures a second, one at a time, through OpenVINO at its default precision."""
    openvino = import_openvino()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()
    shape = [d.get_length() if d.is_static else 1 for d in compiled.input(0).partial_shape]
    image = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        request.infer([image])
        times.append(time.perf_counter() - start)
    return float(1 / np.median(times[rounds // 10 :]))
