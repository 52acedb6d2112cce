"""Boxes follow the pixels through every augmentation."""

from __future__ import annotations

import numpy as np
import pytest

from sightline_training.augment import cut, degrade, mosaic, place, relight
from sightline_training.samples import Sample


def square() -> Sample:
    """Draw a white square on black."""
    bgr = np.zeros((100, 140, 3), np.uint8)
    bgr[30:60, 50:90] = 255
    return Sample("square", bgr, np.asarray([[50, 30, 90, 60, 1, 1]], np.float32))


@pytest.mark.parametrize("seed", range(30))
def test_placed_box_frames_the_square(seed: int) -> None:
    bgr, boxes = place(square(), 96, 80, np.random.default_rng(seed))
    white = np.argwhere((bgr > 180).all(2))
    if len(white) == 0 or len(boxes) == 0:
        return
    (top, left), (bottom, right) = white.min(0), white.max(0) + 1
    assert np.abs(boxes[0, :4] - (left, top, right, bottom)).max() <= 1.5


def test_mosaic_keeps_boxes_inside() -> None:
    bgr, boxes = mosaic([square()] * 4, 128, np.random.default_rng(3))
    assert bgr.shape == (128, 128, 3)
    assert boxes[:, :4].min() >= 0
    assert boxes[:, :4].max() <= 128


def test_cut_boxes_lose_trust_then_go() -> None:
    boxes = np.asarray(
        [[0, 0, 20, 20, 0, 1], [-13, 0, 7, 20, 0, 1], [-19, 0, 1, 20, 0, 1]], np.float32
    )
    kept = cut(boxes, 50, 50)
    assert kept[:, 5].tolist() == [1, 0]


def test_light_and_wear_keep_shape_and_type() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        bgr = degrade(relight(square().bgr, rng), rng)
        assert bgr.shape == (100, 140, 3)
        assert bgr.dtype == np.uint8
