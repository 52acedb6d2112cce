"""A clip for Chromium's fake camera: each picture carries its number in its pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sightline_engines.clip import read_clip
from sightline_engines.types import Image

SIZE_WH = (640, 360)
FPS = 30
FRAMES = 150
BITS = 8
_CELL = 16  # pixels of a bit's side, along the bottom left edge


def film_frames(source: Path, source_fps: int, skip: int) -> list[Image]:
    """Return the source's pictures at the camera's size and rate, from `skip` on."""
    repeats = FPS // source_fps
    images: list[Image] = []
    for index, image in enumerate(read_clip(source)):
        if index >= skip:
            small = cv2.resize(image, SIZE_WH, interpolation=cv2.INTER_AREA).astype(np.uint8)
            images += [small] * repeats
        if len(images) >= FRAMES:
            return images[:FRAMES]
    return images


def rendered_frames() -> list[Image]:
    """Return pictures of a bright rectangle that wanders; for where no film is at hand."""
    images: list[Image] = []
    for index in range(FRAMES):
        image = np.full((SIZE_WH[1], SIZE_WH[0], 3), 60, np.uint8)
        left = 40 + index * 3
        cv2.rectangle(image, (left, 90), (left + 110, 290), (40, 200, 230), -1)
        images.append(image)
    return images


def write_camera(path: Path, images: list[Image]) -> None:
    """Write the pictures, numbered, as the raw video that Chromium takes for a camera."""
    width, height = SIZE_WH
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for number, image in enumerate(images):
            file.write(b"FRAME\n")
            file.write(cv2.cvtColor(numbered(image, number), cv2.COLOR_BGR2YUV_I420).tobytes())


def numbered(image: Image, number: int) -> Image:
    """Return a copy with the number's bits as white and black cells, highest bit first."""
    copy = image.copy()
    bottom = copy.shape[0]
    for bit in range(BITS):
        value = 255 if number >> (BITS - 1 - bit) & 1 else 0
        copy[bottom - _CELL : bottom, bit * _CELL : (bit + 1) * _CELL] = value
    return copy


def number_of(image: Image) -> int:
    """Read a picture's number back, at whatever size it comes."""
    scale_x, scale_y = image.shape[1] / SIZE_WH[0], image.shape[0] / SIZE_WH[1]
    row = round(image.shape[0] - _CELL / 2 * scale_y)
    number = 0
    for bit in range(BITS):
        column = round((bit + 0.5) * _CELL * scale_x)
        number = number << 1 | int(image[row, column].mean() > 127)
    return number
