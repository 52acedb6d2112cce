"""The pictures a run sends: JPEGs cut from a clip."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from sightline_engines.clip import read_clip
from sightline_engines.picture import encode_jpeg
from sightline_engines.types import Image

CLIP = Path(__file__).resolve().parents[3] / "shared/data/video/swdee_people-walking.mp4"


def default_clip() -> Path | None:
    """Return the clip of people walking; None where the test material is not at hand."""
    return CLIP if CLIP.is_file() else None


def jpegs(clip: Path | None, size_wh: tuple[int, int], quality: int, count: int) -> list[bytes]:
    """Return `count` pictures of a clip (None: rendered ones) as JPEG files, 4:2:0.

    A short clip begins again. Raises ClipError.
    """
    images = islice(rendered(size_wh) if clip is None else read_clip(clip), count)
    files = [encode_jpeg(_sized(image, size_wh), quality) for image in images]
    return [files[i % len(files)] for i in range(count)]


def rendered(size_wh: tuple[int, int]) -> Iterator[Image]:
    """Yield a textured scene that moves, about as hard to code as a camera's picture."""
    width, height = size_wh
    dice = np.random.default_rng(1)
    coarse = dice.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3)).astype(np.uint8)
    scene = np.asarray(cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC), np.float32)
    grain = dice.normal(0, 4, scene.shape)
    still = np.clip(scene + grain, 0, 255).astype(np.uint8)
    step = 0
    while True:
        yield np.roll(still, 4 * step, axis=1)
        step += 1


def _sized(image: Image, size_wh: tuple[int, int]) -> Image:
    if (image.shape[1], image.shape[0]) == size_wh:
        return image
    return cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8)
