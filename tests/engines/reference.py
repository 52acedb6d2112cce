"""A second, slow reading of every family's published definition, to check the fast one.

Straight loops over Python floats; shares no code with the package.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Box:
    """One detection."""

    x1: float
    y1: float
    x2: float
    y2: float
    score: float
    class_id: int

    @property
    def corners(self) -> tuple[float, float, float, float]:
        return self.x1, self.y1, self.x2, self.y2


def letterboxed(
    image: NDArray[np.uint8], size_wh: tuple[int, int], centre: bool
) -> tuple[NDArray[np.uint8], float, int, int]:
    """Return the padded picture, the ratio and the padding, as the families publish it.

    YOLOX cuts the resized sides to whole pixels and puts them top left; Ultralytics rounds
    them and pads both sides, the odd pixel going right and below.
    """
    height, width = image.shape[:2]
    ratio = min(size_wh[0] / width, size_wh[1] / height)
    if centre:
        new_w, new_h = round(width * ratio), round(height * ratio)
        left = round((size_wh[0] - new_w) / 2 - 0.1)
        top = round((size_wh[1] - new_h) / 2 - 0.1)
    else:
        new_w, new_h, left, top = int(width * ratio), int(height * ratio), 0, 0
    canvas = np.full((size_wh[1], size_wh[0], 3), 114, np.uint8)
    canvas[top : top + new_h, left : left + new_w] = cv2.resize(image, (new_w, new_h))
    return canvas, ratio, left, top


def network_input(canvas: NDArray[np.uint8], rgb: bool, scale: float) -> NDArray[np.float32]:
    """Return (1, 3, h, w) float32."""
    ordered = canvas[:, :, ::-1] if rgb else canvas
    return np.ascontiguousarray(ordered.transpose(2, 0, 1)[None].astype(np.float32) * scale)


def decoded(family: str, output: NDArray[Any], size_wh: tuple[int, int], conf: float) -> list[Box]:
    """Return the boxes above the threshold in input pixels, before NMS."""
    rows = output.T.tolist() if family == "yolov8" else output.tolist()
    cells = _cells(size_wh, len(rows)) if family == "yolox" else []
    boxes = []
    for i, row in enumerate(rows):
        if family == "end2end":
            box = Box(row[0], row[1], row[2], row[3], row[4], round(row[5]))
        else:
            x, y, w, h = row[:4]
            objectness, classes = (1.0, row[4:]) if family == "yolov8" else (row[4], row[5:])
            best = max(range(len(classes)), key=classes.__getitem__)
            if family == "yolox":
                column, line, stride = cells[i]
                x, y = (x + column) * stride, (y + line) * stride
                w, h = math.exp(w) * stride, math.exp(h) * stride
            score = objectness * classes[best]
            box = Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2, score, best)
        if box.score >= conf:
            boxes.append(box)
    return boxes


def _cells(size_wh: tuple[int, int], count: int) -> list[tuple[int, int, int]]:
    cells = [
        (x, y, stride)
        for stride in (8, 16, 32)
        for y in range(size_wh[1] // stride)
        for x in range(size_wh[0] // stride)
    ]
    assert len(cells) == count
    return cells


def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Return intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def suppressed(boxes: list[Box], threshold: float) -> list[Box]:
    """Return what greedy, class-aware NMS keeps, best first."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda b: -b.score):
        rivals = (k for k in kept if k.class_id == box.class_id)
        if all(iou(k.corners, box.corners) <= threshold for k in rivals):
            kept.append(box)
    return kept


def in_source(box: Box, ratio: float, left: int, top: int, size_wh: tuple[int, int]) -> Box:
    """Undo the letterbox and cut at the picture's edges."""
    x1, x2 = ((v - left) / ratio for v in (box.x1, box.x2))
    y1, y2 = ((v - top) / ratio for v in (box.y1, box.y2))
    width, height = size_wh
    return Box(
        min(max(x1, 0), width),
        min(max(y1, 0), height),
        min(max(x2, 0), width),
        min(max(y2, 0), height),
        box.score,
        box.class_id,
    )
