"""Average precision agrees with pycocotools used plainly; counts agree with a hand count."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="evaluation needs pycocotools")

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sightline_training.boxes import Array
from sightline_training.measure.evaluate import (
    average_precision,
    best_threshold,
    count_matches,
    f1,
    run_over,
)
from sightline_training.samples import Sample


def sample(*boxes: tuple[float, ...]) -> Sample:
    array = np.asarray(boxes, np.float32).reshape(-1, 6)
    return Sample("", np.zeros((200, 200, 3), np.uint8), array)


def random_case(seed: int) -> tuple[list[Sample], list[Array]]:
    """Draw boxes and detections that are near some of them."""
    rng = np.random.default_rng(seed)
    samples, found = [], []
    for _ in range(6):
        corner = rng.uniform(0, 140, (4, 2))
        xyxy = np.concatenate((corner, corner + rng.uniform(12, 60, (4, 2))), 1)
        boxes = np.column_stack((xyxy, np.zeros(4), [1, 1, 1, 0]))
        near = xyxy + rng.uniform(-5, 5, xyxy.shape)
        rows = np.column_stack((near, np.zeros(4), rng.uniform(0.1, 1, 4)))
        samples.append(sample(*boxes.tolist()))
        found.append(rows[rng.random(4) < 0.8].astype(np.float32))
    return samples, found


def plain_pycocotools(samples: list[Sample], found: list[Array]) -> tuple[float, float]:
    """Measure AP50 and AP as its own summary does."""
    truths: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (one, rows) in enumerate(zip(samples, found, strict=True), 1):
        for x1, y1, x2, y2, _, trust in one.boxes.tolist():
            box = [x1, y1, x2 - x1, y2 - y1]
            area = box[2] * box[3]
            common = {"image_id": image, "category_id": 1, "bbox": box, "area": area}
            truths.append(common | {"id": len(truths) + 1, "iscrowd": int(trust == 0)})
        for x1, y1, x2, y2, _, score in rows.tolist():
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append({"image_id": image, "category_id": 1, "bbox": box, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": i + 1} for i in range(len(samples))],
            "annotations": truths,
            "categories": [{"id": 1}],
        }
        truth.createIndex()
        measured = COCOeval(truth, truth.loadRes(results), "bbox")
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    return float(measured.stats[1]), float(measured.stats[0])


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_equals_pycocotools(seed: int) -> None:
    samples, found = random_case(seed)
    got = average_precision(samples, found, 0)
    assert (got.ap50, got.ap) == pytest.approx(plain_pycocotools(samples, found), abs=1e-6)
    assert got.boxes == 18


def test_tall_boxes_are_measured_apart() -> None:
    samples = [sample((0, 0, 50, 50, 1, 1), (100, 100, 110, 110, 1, 1))]
    found = [np.asarray([[0, 0, 50, 50, 1, 0.9]], np.float32)]
    got = average_precision(samples, found, 1)
    assert got.ap50_tall == pytest.approx(1.0)
    assert got.ap50_small == pytest.approx(0.0)
    assert got.ap50 == pytest.approx(0.5, abs=0.01)
    assert (got.boxes, got.tall_boxes) == (2, 1)


def test_counts_at_a_threshold() -> None:
    samples = [sample((0, 0, 50, 50, 0, 1), (100, 100, 150, 150, 0, 1)), sample()]
    hit, low = [0, 0, 50, 50, 0, 0.9], [100, 100, 150, 150, 0, 0.2]
    found = [np.asarray([hit, low], np.float32), np.asarray([[5, 5, 20, 20, 1, 0.6]], np.float32)]
    assert count_matches(samples, found, 0, 0.5) == (1, 0, 1)
    assert count_matches(samples, found, 0, 0.1) == (2, 0, 0)
    assert best_threshold(samples, found, 0) < 0.2
    assert f1(samples, found, 0, 0.5) == pytest.approx(2 / 3)
    assert f1(samples, found, 0, 0.1) == 1


def test_finds_in_a_crowd_count_neither_way() -> None:
    one = sample((0, 0, 150, 150, 0, 0), (20, 20, 60, 60, 0, 1))
    box, inside = [20, 20, 60, 60, 0, 0.9], [80, 80, 100, 100, 0, 0.8]
    half, outside = [140, 0, 160, 20, 0, 0.7], [145, 0, 165, 20, 0, 0.6]
    rows = np.asarray([box, inside, half, outside], np.float32)
    assert count_matches([one], [rows], 0) == (1, 1, 0)
    assert count_matches([one], [rows[1:3]], 0) == (0, 0, 1)
    assert f1([one], [rows[:3]], 0, 0.5) == 1


def test_detections_are_suppressed_as_average_precision_is_measured() -> None:
    rows = np.asarray(
        [[0, 0, 100, 100, 0, 0.9], [0, 0, 100, 60, 0, 0.8], [0, 0, 100, 70, 0, 0.7]], np.float32
    )
    (got,) = run_over([sample()], lambda _: rows)
    assert got[:, 5].tolist() == pytest.approx([0.9, 0.8])
    assert run_over([], lambda _: rows) == []
