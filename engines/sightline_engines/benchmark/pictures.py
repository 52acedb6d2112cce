"""The pictures that speed is measured on: a data set's, or drawn ones the size of a camera's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from sightline_engines.errors import PictureError
from sightline_engines.header import parse_header
from sightline_engines.picture import PictureLimits, decode_picture, encode_jpeg

MOST = 32  # that are kept in memory and used in turn
_SIZE_WH = (1280, 720)
_DRAWN = 4


def picture_bytes(paths: Sequence[str]) -> list[bytes]:
    """Return pictures as JPEG; drawn ones if there are no paths. Raises PictureError."""
    if not paths:
        return [_drawn(seed) for seed in range(_DRAWN)]
    return [_jpeg(Path(path)) for path in paths[:MOST]]


def _jpeg(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path.name} can't be read: {error.strerror}.") from error
    if parse_header(memoryview(data)).format == "JPEG":
        return data
    return encode_jpeg(decode_picture(data, PictureLimits()))


def _drawn(seed: int) -> bytes:
    """Draw a blurred, slightly noisy scene: about as many bytes as a camera's picture."""
    rng = np.random.default_rng(seed)
    width, height = _SIZE_WH
    small = rng.integers(0, 255, (9, 16, 3), np.uint8)
    scene = cv2.resize(small, _SIZE_WH, interpolation=cv2.INTER_CUBIC).astype(np.int16)
    scene += rng.integers(-6, 7, (height, width, 3), np.int16)
    image = np.clip(scene, 0, 255).astype(np.uint8)
    for _ in range(12):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        colour = [int(c) for c in rng.integers(0, 255, 3)]
        cv2.rectangle(image, (x, y), (x + int(rng.integers(20, 300)), y + 120), colour, -1)
    return encode_jpeg(image)
