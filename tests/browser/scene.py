"""What the camera shows and what there is to find in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline_engines.detector import Detector
from sightline_engines.types import Image
from tests.browser.camera_clip import FRAMES, film_frames, numbered, rendered_frames

Box = tuple[float, float, float, float]  # as shares of the picture's width and height

FILM = "video/intel_one-by-one-person-detection.mp4"
FILM_FPS = 10
FILM_SKIP = 60  # pictures before the first person is in full view


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A clip for the camera, and the box of its one person in each picture (or None)."""

    images: Sequence[Image]
    boxes: Sequence[Box | None]
    rendered: bool

    def near(self, number: int, before: int = 12) -> list[Box]:
        """Return the boxes of a picture and of those just before it."""
        numbers = [(number - back) % FRAMES for back in range(before + 1)]
        return [box for n in numbers if (box := self.boxes[n]) is not None]


def film_scene(data: Path) -> Scene:
    """Return the real film and what the shipped model finds in it."""
    images = film_frames(data / FILM, FILM_FPS, FILM_SKIP)
    boxes: list[Box | None] = []
    with Detector.load() as detector:
        for number, image in enumerate(images):
            found = detector(numbered(image, number), classes=["person"])
            boxes.append(_share(found.xyxy[0], image) if len(found) == 1 else None)
    return Scene(images, boxes, rendered=False)


def rendered_scene() -> Scene:
    """Return the wandering rectangle, for where there is no film."""
    images = rendered_frames()
    found = [np.argwhere((image == (40, 200, 230)).all(axis=2)) for image in images]
    boxes = [
        _share(np.array([*at.min(0)[::-1], *at.max(0)[::-1]]), image)
        for at, image in zip(found, images, strict=True)
    ]
    return Scene(images, boxes, rendered=True)


def drawn_box(image: Image) -> Box | None:
    """Return the rectangle drawn in the colour of class 0, None if there is none.

    Edges are told from the filled name tag by being longer lines than it is high.
    """
    blue, green, red = (image[..., channel].astype(int) for channel in range(3))
    mask = (green - blue > 40) & (green - red > 40)
    columns, rows = mask.sum(axis=0), mask.sum(axis=1)
    if columns.max() < image.shape[0] / 10:
        return None
    xs = np.flatnonzero(columns > columns.max() * 0.35)
    ys = np.flatnonzero(rows > rows.max() * 0.35)
    return _share(np.array([xs[0], ys[0], xs[-1], ys[-1]]), image)


def iou(a: Box, b: Box) -> float:
    """Return the overlap of two boxes, 0..1."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return both / (areas - both) if areas > both else 0.0


def _share(xyxy: np.ndarray[tuple[int, ...], np.dtype[np.generic]], image: Image) -> Box:
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(v) for v in xyxy)
    return x1 / width, y1 / height, x2 / width, y2 / height
