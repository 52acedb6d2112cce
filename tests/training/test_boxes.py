"""Boxes: the grid, overlaps and suppression."""

from __future__ import annotations

import numpy as np

from sightline_training.boxes import decode, grid, iou, suppress
from sightline_training.detectors import settle
from sightline_training.letterbox import letterbox, to_tensor


def test_grid_lists_every_anchor_once() -> None:
    anchors = grid(64)
    assert len(anchors) == 8 * 8 + 4 * 4 + 2 * 2
    assert len({tuple(a) for a in anchors.tolist()}) == len(anchors)
    assert anchors[1].tolist() == [1, 0, 8]


def test_zeros_decode_to_one_cell_around_its_corner() -> None:
    corners = decode(np.zeros((84, 7), np.float32), 64)
    assert corners[9].tolist() == [4, 4, 12, 12]


def test_suppression_keeps_the_best_of_each_class() -> None:
    first, better = [0, 0, 10, 10, 0, 0.6], [1, 0, 11, 10, 0, 0.9]
    other, nothing = [0, 0, 10, 10, 1, 0.5], [0, 0, 9, 9, 0, 0]
    rows = np.asarray([first, better, other, nothing], np.float32)
    kept = settle(rows, 0.5)
    assert kept[:, 5].tolist() == np.asarray([0.9, 0.5], np.float32).tolist()
    assert suppress(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5).size == 0
    assert iou(rows[:, :4], np.zeros((0, 4), np.float32)).shape == (4, 0)


def test_letterbox_fits_into_the_top_left() -> None:
    canvas, scale = letterbox(np.full((50, 100, 3), 255, np.uint8), 64, 64)
    assert scale == 0.64
    assert (canvas[:32] == 255).all()
    assert (canvas[32:] == 114).all()
    assert to_tensor(canvas).shape == (1, 3, 64, 64)
