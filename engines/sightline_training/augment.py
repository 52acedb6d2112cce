"""Augmentation: what a webcam does to a picture, and pictures cut and joined."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from sightline_training.boxes import Array, area
from sightline_training.letterbox import PAD
from sightline_training.samples import Picture, Sample

KEEP_FRACTION = 0.4  # a box cut smaller than this stays as a region where nothing is learnt
DROP_FRACTION = 0.1
SMALLEST_SIDE = 4.0  # input pixels


def place(
    sample: Sample, width: int, height: int, rng: np.random.Generator
) -> tuple[Picture, Array]:
    """Scale, shift, stretch and mirror a sample into a width x height tile."""
    rows, columns = sample.bgr.shape[:2]
    fit = min(width / columns, height / rows)
    zoom, stretch = 1.0, 1.0
    if rng.random() < 0.8:
        zoom = float(np.exp(rng.uniform(np.log(0.5), np.log(2.5))))
        stretch = float(np.exp(rng.uniform(-0.15, 0.15)))
    sx, sy = fit * zoom * stretch, fit * zoom / stretch
    free_x, free_y = width - sx * columns, height - sy * rows
    plain = zoom == 1.0
    dx, dy = (0.0, 0.0) if plain else (free_x * rng.random(), free_y * rng.random())
    boxes = sample.boxes.copy()
    if rng.random() < 0.5:
        boxes[:, [0, 2]] = columns - boxes[:, [2, 0]]
        matrix = np.asarray([[-sx, 0, sx * columns + dx], [0, sy, dy]])
    else:
        matrix = np.asarray([[sx, 0, dx], [0, sy, dy]])
    # Half a pixel: OpenCV's coordinates are pixel centres, boxes are edges.
    matrix[:, 2] += matrix[:, :2].sum(1) * 0.5 - 0.5
    tile = cv2.warpAffine(
        sample.bgr, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(PAD, PAD, PAD)
    )
    boxes[:, :4] = boxes[:, :4] * (sx, sy, sx, sy) + (dx, dy, dx, dy)
    return np.asarray(tile, np.uint8), cut(boxes, width, height)


def cut(boxes: Array, width: int, height: int) -> Array:
    """Clip boxes to the tile; drop what is nearly gone, distrust what is half gone."""
    whole = area(boxes[:, :4])
    boxes[:, :4] = boxes[:, :4].clip(0, (width, height, width, height))
    left = area(boxes[:, :4]) / np.maximum(whole, 1e-6)
    small = (boxes[:, 2:4] - boxes[:, :2]).min(1, initial=np.inf) < SMALLEST_SIDE
    boxes[(left < KEEP_FRACTION) | small, 5] = 0
    kept: Array = boxes[left > DROP_FRACTION]
    return kept


def mosaic(samples: Sequence[Sample], size: int, rng: np.random.Generator) -> tuple[Picture, Array]:
    """Join four samples around a random centre."""
    x, y = (int(v) for v in rng.uniform(0.3, 0.7, 2) * size)
    canvas = np.full((size, size, 3), PAD, np.uint8)
    parts = []
    corners = ((0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size))
    for sample, (x1, y1, x2, y2) in zip(samples, corners, strict=True):
        canvas[y1:y2, x1:x2], boxes = place(sample, x2 - x1, y2 - y1, rng)
        boxes[:, :4] += np.asarray((x1, y1, x1, y1), np.float32)
        parts.append(boxes)
    return canvas, np.concatenate(parts)


def relight(bgr: Picture, rng: np.random.Generator) -> Picture:
    """Change exposure, contrast, gamma, white balance and saturation."""
    ramp = np.linspace(0, 1, 256)
    gain, lift = np.exp(rng.normal(0, 0.2)), rng.normal(0, 0.08)
    curve = np.clip(ramp ** np.exp(rng.normal(0, 0.3)) * gain + lift, 0, 1)
    tint = np.exp(rng.normal(0, 0.06, 3))
    table = (np.clip(curve[:, None] * tint, 0, 1) * 255).astype(np.uint8)
    lit = cv2.LUT(bgr, table[None])
    if rng.random() < 0.4:
        grey = cv2.cvtColor(cv2.cvtColor(lit, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        amount = float(rng.uniform(0, 1.6))
        lit = cv2.addWeighted(lit, amount, grey, 1 - amount, 0)
    return np.asarray(lit, np.uint8)


def degrade(bgr: Picture, rng: np.random.Generator) -> Picture:
    """Blur, add noise and compress, each now and then."""
    out = bgr
    if rng.random() < 0.15:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 2.0))), np.uint8)
    if rng.random() < 0.08:
        length = int(rng.integers(3, 10))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        kernel = kernel if rng.random() < 0.7 else kernel.T
        out = np.asarray(cv2.filter2D(out, -1, kernel), np.uint8)
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 12), out.shape[:2])[..., None]
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = int(rng.integers(20, 80))
        encoded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        out = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return out
