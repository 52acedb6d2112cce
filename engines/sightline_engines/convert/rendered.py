"""Drawn pictures: for comparing two models where nobody has named a data set."""

from __future__ import annotations

import cv2
import numpy as np

from sightline_engines.types import Image

_WIDTH, _HEIGHT = 640, 480


def rendered_pictures(count: int) -> list[Image]:
    """Return so many pictures, always the same: a wall, blurred shapes, figures with heads."""
    return [_picture(np.random.default_rng(seed)) for seed in range(count)]


def _picture(rng: np.random.Generator) -> Image:
    image = _wall(rng)
    for _ in range(int(rng.integers(4, 12))):
        _shape(image, rng)
    for _ in range(int(rng.integers(1, 4))):
        _figure(image, rng)
    blurred = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 2)))
    grain = rng.normal(0, rng.uniform(1, 8), blurred.shape)
    return np.asarray(np.clip(blurred + grain, 0, 255), np.uint8)


def _wall(rng: np.random.Generator) -> Image:
    """Return a rough texture that fades from one colour to another."""
    coarse = rng.integers(40, 220, (6, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC))


def _shape(image: Image, rng: np.random.Generator) -> None:
    x, y = int(rng.integers(0, _WIDTH)), int(rng.integers(0, _HEIGHT))
    w, h = int(rng.integers(20, 220)), int(rng.integers(20, 220))
    if rng.random() < 0.5:
        cv2.rectangle(image, (x, y), (x + w, y + h), _colour(rng), -1)
    else:
        cv2.ellipse(image, ((x, y), (w, h), float(rng.uniform(0, 180))), _colour(rng), -1)


def _figure(image: Image, rng: np.random.Generator) -> None:
    """Draw a head with eyes and a mouth on shoulders."""
    x, y = int(rng.integers(80, _WIDTH - 80)), int(rng.integers(80, _HEIGHT - 160))
    r = int(rng.integers(25, 75))
    skin = (int(rng.integers(90, 170)), int(rng.integers(120, 190)), int(rng.integers(170, 240)))
    cv2.ellipse(image, ((x, y + 3 * r), (4 * r, 4 * r), 0.0), _colour(rng), -1)
    cv2.ellipse(image, ((x, y), (1.5 * r, 2.1 * r), 0.0), skin, -1)
    cv2.ellipse(image, (x, y - r // 3), (int(0.8 * r), r), 0, 180, 360, (30, 40, 50), -1)
    for side in (-1, 1):
        cv2.circle(image, (x + side * r // 3, y - r // 8), max(2, r // 9), (40, 30, 30), -1)
    cv2.ellipse(image, (x, y + r // 2), (r // 3, r // 7), 0, 0, 180, (60, 60, 150), 2)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    blue, green, red = rng.integers(0, 256, 3).tolist()
    return blue, green, red
