"""Suppression: what stays is what the plain reading keeps, whatever the boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_engines.nms import nms
from tests.engines.reference import Box, suppressed

coordinate = st.integers(-200, 200).map(float)
side = st.integers(1, 120).map(float)
box = st.tuples(coordinate, coordinate, side, side, st.integers(0, 1000), st.integers(0, 2))


def kept(boxes: list[Box], iou: float, limit: int = 1000) -> list[int]:
    xyxy = np.array([b.corners for b in boxes], np.float32).reshape(-1, 4)
    score = np.array([b.score for b in boxes], np.float32)
    class_id = np.array([b.class_id for b in boxes], np.int32)
    return [int(i) for i in nms(xyxy, score, class_id, iou, limit)]


@pytest.mark.parametrize(
    ("boxes", "iou", "expected"),
    [
        ([], 0.5, []),
        ([Box(0, 0, 10, 10, 0.5, 0)], 0.5, [0]),
        ([Box(0, 0, 10, 10, 0.5, 0), Box(0, 0, 10, 10, 0.9, 0)], 0.5, [1]),
        ([Box(0, 0, 10, 10, 0.5, 0), Box(0, 0, 10, 10, 0.9, 1)], 0.5, [1, 0]),
        ([Box(0, 0, 10, 10, 0.9, 0), Box(20, 0, 30, 10, 0.5, 0)], 0.0, [0, 1]),
        ([Box(0, 0, 10, 10, 0.9, 0), Box(1, 0, 11, 10, 0.5, 0)], 1.0, [0, 1]),
        # classes apart though the boxes reach far below zero
        ([Box(-900, -900, 9, 9, 0.9, 0), Box(-890, -890, 5, 5, 0.8, 1)], 0.3, [0, 1]),
    ],
)
def test_the_best_of_overlapping_boxes_of_a_class_stays(
    boxes: list[Box], iou: float, expected: list[int]
) -> None:
    assert kept(boxes, iou) == expected


@settings(deadline=None)
@given(st.lists(box, max_size=30), st.sampled_from([0.21, 0.45, 0.73]))
def test_suppression_agrees_with_the_plain_reading(
    rows: list[tuple[float, float, float, float, int, int]], iou: float
) -> None:
    # a distinct score each, so that the order is one
    boxes = [
        Box(x, y, x + w, y + h, (s + i / 100) / 1001, c)
        for i, (x, y, w, h, s, c) in enumerate(rows)
    ]
    assert [boxes[i] for i in kept(boxes, iou)] == suppressed(boxes, iou)


def test_many_candidates_are_cut_to_the_best_and_to_the_limit() -> None:
    boxes = [Box(i * 20, 0, i * 20 + 10, 10, i / 5000, 0) for i in range(5000)]
    assert kept(boxes, 0.5, 3) == [4999, 4998, 4997]
