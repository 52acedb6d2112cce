"""Boxes: overlaps, suppression and the raw grid that the network speaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

STRIDES = (8, 16, 32)  # of the network's three levels


def grid(size: int) -> Array:
    """List (x, y, stride) of every anchor of a square input, in the network's order: (A, 3)."""
    levels = []
    for stride in STRIDES:
        y, x = np.mgrid[: size // stride, : size // stride]
        levels.append(np.stack((x, y, np.full_like(x, stride)), -1).reshape(-1, 3))
    return np.concatenate(levels).astype(np.float32)


def decode(raw: Array, size: int) -> Array:
    """Turn raw grid boxes (A, 4+) into corners in input pixels (A, 4)."""
    anchors = grid(size)
    centre = (raw[:, :2] + anchors[:, :2]) * anchors[:, 2:]
    half = np.exp(raw[:, 2:4]) * anchors[:, 2:] / 2
    corners: Array = np.concatenate((centre - half, centre + half), 1)
    return corners


def area(xyxy: Array) -> Array:
    """Measure boxes (..., 4); inverted ones count as nothing."""
    sides = np.maximum(xyxy[..., 2:] - xyxy[..., :2], 0)
    product: Array = sides[..., 0] * sides[..., 1]
    return product


def intersection(a: Array, b: Array) -> Array:
    """Measure what each of a (n, 4) shares with each of b (m, 4): (n, m)."""
    shared = np.concatenate(
        (np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])), 2
    )
    return area(shared)


def iou(a: Array, b: Array) -> Array:
    """Intersection over union of each of a (n, 4) with each of b (m, 4): (n, m)."""
    shared = intersection(a, b)
    overlap: Array = shared / (area(a)[:, None] + area(b)[None] - shared + 1e-9)
    return overlap


def suppress(xyxy: Array, score: Array, limit: float, most: int = 300) -> NDArray[np.intp]:
    """Keep the best of boxes that overlap more than `limit`; return indices, best first.

    At most `most` are kept.
    """
    order = np.argsort(-score, kind="stable")
    keep: list[np.intp] = []
    while order.size and len(keep) < most:
        best, order = order[0], order[1:]
        keep.append(best)
        order = order[iou(xyxy[best][None], xyxy[order])[0] <= limit]
    return np.asarray(keep, np.intp)
