"""Letterbox: the whole picture in the top left of a grey square, as the network is fed."""

from __future__ import annotations

import cv2
import numpy as np

from sightline_training.boxes import Array
from sightline_training.samples import Picture

PAD = 114


def letterbox(bgr: Picture, width: int, height: int) -> tuple[Picture, float]:
    """Fit the picture into width x height; return it and the scale that was used."""
    scale = min(width / bgr.shape[1], height / bgr.shape[0])
    inner = (max(1, round(bgr.shape[1] * scale)), max(1, round(bgr.shape[0] * scale)))
    canvas = np.full((height, width, 3), PAD, np.uint8)
    canvas[: inner[1], : inner[0]] = cv2.resize(bgr, inner, interpolation=cv2.INTER_LINEAR)
    return canvas, scale


def to_tensor(bgr: Picture) -> Array:
    """Make (1, 3, H, W) float32, values unchanged."""
    return np.ascontiguousarray(bgr.transpose(2, 0, 1)[None], np.float32)
