"""Encoded pictures -> pixels. Every upload is taken for hostile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from sightline_engines.errors import (
    PictureCorruptError,
    PictureError,
    PictureFormatError,
    PictureTooLargeError,
)
from sightline_engines.header import ACCEPTED, PictureHeader, parse_header
from sightline_engines.turn import upright
from sightline_engines.types import Image

__all__ = [
    "ACCEPTED",
    "PictureHeader",
    "PictureLimits",
    "decode_picture",
    "encode_as",
    "encode_jpeg",
    "read_header",
]


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """How large a picture may be, as bytes and once decoded."""

    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000


def read_header(data: bytes | memoryview, limits: PictureLimits) -> PictureHeader:
    """Return what a picture's header says; no pixel is allocated.

    Raises PictureTooLargeError, PictureFormatError or PictureCorruptError.
    """
    if not len(data):
        raise PictureError("The picture is empty.")
    if len(data) > limits.max_bytes:
        raise PictureTooLargeError(
            f"The picture has {len(data) / 2**20:.1f} MiB; at most {limits.max_bytes / 2**20:.1f} "
            "are taken. Send it smaller."
        )
    header = parse_header(memoryview(data))
    if header.width < 1 or header.height < 1:
        raise PictureCorruptError(
            f"The {header.format} says it is {header.width}x{header.height} pixels."
        )
    if header.width * header.height > limits.max_pixels:
        raise PictureTooLargeError(
            f"The picture has {header.width}x{header.height} pixels; at most "
            f"{limits.max_pixels / 1e6:g} megapixels are taken. Send it smaller."
        )
    return header


def decode_picture(data: bytes | memoryview, limits: PictureLimits) -> Image:
    """Return a picture's pixels, upright by its EXIF orientation.

    Transparency is left out, 16 bits become 8, of an animation the first picture is taken.
    A picture that is cut off is refused. Raises the PictureError family.
    """
    header = read_header(data, limits)
    try:
        image = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:
        raise PictureCorruptError(f"The {header.format} can't be decoded.") from error
    if image is None:
        raise PictureCorruptError(f"The {header.format} is damaged and can't be decoded.")
    if image.shape[:2] != (header.height, header.width):
        raise PictureCorruptError(
            f"The {header.format} says {header.width}x{header.height} pixels and holds "
            f"{image.shape[1]}x{image.shape[0]}."
        )
    return upright(cast(Image, image), header.orientation)


def encode_jpeg(image: Image, quality: int = 90) -> bytes:
    """Return a picture as JPEG with 4:2:0 colour; quality 1..100."""
    return _encode(image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_as(image: Image, suffix: str) -> bytes:
    """Return a picture in the format that a file name's suffix says, as .png.

    JPEG and WebP lose little, PNG and BMP nothing. Raises PictureFormatError.
    """
    suffix = suffix.lower()
    if suffix in {".jpg", ".jpeg"}:
        return encode_jpeg(image)
    if suffix == ".webp":
        return _encode(image, suffix, [cv2.IMWRITE_WEBP_QUALITY, 90])
    if suffix in {".png", ".bmp"}:
        return _encode(image, suffix, [])
    raise PictureFormatError(
        f"A picture can't be written as '{suffix}': name the file .jpg, .png, .webp or .bmp."
    )


def _encode(image: Image, suffix: str, options: list[int]) -> bytes:
    done, buffer = cv2.imencode(suffix, image, options)
    if not done:  # larger than the format can hold
        height, width = image.shape[:2]
        raise PictureError(f"{width}x{height} pixels can't be written as {suffix}.")
    return buffer.tobytes()
