"""Pictures into a classifier's input: squashed to its shape, or the middle cut out."""

from __future__ import annotations

import cv2

from sightline_engines.types import Image, Tensor

Placed = tuple[float, float, float, float]  # scale_x, scale_y, pad_x, pad_y


def squash(image: Image, out: Tensor) -> Placed:
    """Resize a picture to `out` (h, w, 3), whatever that does to its shape."""
    height, width = out.shape[:2]
    _resize(image, out)
    return width / image.shape[1], height / image.shape[0], 0.0, 0.0


def fill(image: Image, out: Tensor) -> Placed:
    """Resize a picture until it fills `out` (h, w, 3) and leave out what overlaps, evenly."""
    height, width = out.shape[:2]
    ratio = max(width / image.shape[1], height / image.shape[0])
    seen_wide = min(image.shape[1], max(1, round(width / ratio)))
    seen_high = min(image.shape[0], max(1, round(height / ratio)))
    left, top = (image.shape[1] - seen_wide) // 2, (image.shape[0] - seen_high) // 2
    _resize(image[top : top + seen_high, left : left + seen_wide], out)
    scale_x, scale_y = width / seen_wide, height / seen_high
    return scale_x, scale_y, -left * scale_x, -top * scale_y


def _resize(image: Image, out: Tensor) -> None:
    height, width = out.shape[:2]
    smaller = width < image.shape[1] or height < image.shape[0]
    # Averaging: classifiers are trained on pictures made smaller without aliasing.
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    cv2.resize(image, (width, height), dst=out, interpolation=how)
