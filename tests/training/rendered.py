"""A tiny data set that the tests draw: grey pictures with bright ovals, as samples."""

from __future__ import annotations

import cv2
import numpy as np

from sightline_training.samples import Picture, Sample

PERSON, FACE = 0, 1


def rendered(seed: int, label: int) -> Sample:
    """Draw one picture with one or two ovals and their boxes."""
    rng = np.random.default_rng(seed)
    bgr: Picture = rng.integers(60, 90, (120, 160, 3)).astype(np.uint8)
    boxes = []
    for _ in range(int(rng.integers(1, 3))):
        x, y = rng.uniform(40, 120), rng.uniform(40, 80)
        w, h = rng.uniform(20, 60), rng.uniform(20, 60)
        box = ((float(x), float(y)), (float(w), float(h)), 0.0)
        cv2.ellipse(bgr, box, (200, 220 - 100 * label, 240), -1)
        boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2, label, 1.0])
    return Sample(f"{seed}.png", bgr, np.asarray(boxes, np.float32))
