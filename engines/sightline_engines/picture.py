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
from sightline_engines.turn import upright, upright_size
from sightline_engines.types import Image

__all__ = [
    "ACCEPTED",
    "PictureHeader",
    "PictureLimits",
    "decode_frame",
    "decode_picture",
    "encode_as",
    "encode_jpeg",
    "read_header",
]

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_MARGIN = 1.25  # times the letterboxed size; measured: with none a detector's AP50 falls by 1.5 %


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """How large a picture may be, as bytes and once decoded, and how dear to decode."""

    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000
    max_slow_pixels: int | None = None  # of what isn't a JPEG, and takes several times as long
    max_scans: int = 100  # of a JPEG; an encoder writes about ten, each is decoded over the whole


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
    header = parse_header(memoryview(data), limits.max_scans)
    if header.width < 1 or header.height < 1:
        raise PictureCorruptError(
            f"The {header.format} says it is {header.width}x{header.height} pixels."
        )
    if header.width * header.height > limits.max_pixels:
        raise PictureTooLargeError(
            f"The picture has {header.width}x{header.height} pixels; at most "
            f"{limits.max_pixels / 1e6:g} megapixels are taken. Send it smaller."
        )
    slow = None if header.format == "JPEG" else limits.max_slow_pixels
    if slow is not None and header.width * header.height > slow:
        raise PictureTooLargeError(
            f"The {header.format} has {header.width}x{header.height} pixels; at most "
            f"{slow / 1e6:g} megapixels of this format are taken here. Send it smaller or as JPEG."
        )
    return header


def decode_picture(data: bytes | memoryview, limits: PictureLimits) -> Image:
    """Return a picture's pixels, upright by its EXIF orientation.

    Transparency is left out, 16 bits become 8, of an animation the first picture is taken.
    A picture that is cut off is refused. Raises the PictureError family.
    """
    header = read_header(data, limits)
    return upright(_decoded(data, header), header.orientation)


def decode_frame(
    data: bytes | memoryview, limits: PictureLimits, input_wh: tuple[int, int]
) -> tuple[Image, tuple[int, int]]:
    """Return a live frame's pixels, upright, and the size (w, h) it has in full.

    A JPEG far larger than the network's input is decoded at 1/2, 1/4 or 1/8, which is cheaper:
    never smaller than it will be inside `input_wh`. Else as `decode_picture`.
    """
    header = read_header(data, limits)
    size_wh = upright_size((header.width, header.height), header.orientation)
    reduction = _reduction(size_wh, input_wh) if header.format == "JPEG" else 1
    return upright(_decoded(data, header, reduction), header.orientation), size_wh


def _reduction(size_wh: tuple[int, int], input_wh: tuple[int, int]) -> int:
    """Return the largest of 1, 2, 4, 8 by which a picture may shrink and still fill its place."""
    ratio = min(input_wh[0] / size_wh[0], input_wh[1] / size_wh[1])
    return next((step for step in (8, 4, 2) if step * ratio * _MARGIN <= 1), 1)


def _decoded(data: bytes | memoryview, header: PictureHeader, reduction: int = 1) -> Image:
    """Return the pixels as stored; a JPEG's sides `reduction` times smaller, rounded up."""
    flags = _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cast(Image | None, cv2.imdecode(np.frombuffer(data, np.uint8), flags))
    except cv2.error as error:
        raise PictureCorruptError(f"The {header.format} can't be decoded.") from error
    if image is None:
        raise PictureCorruptError(f"The {header.format} is damaged and can't be decoded.")
    if image.shape[:2] != (-(-header.height // reduction), -(-header.width // reduction)):
        raise PictureCorruptError(
            f"The {header.format} says {header.width}x{header.height} pixels and holds "
            f"{image.shape[1] * reduction}x{image.shape[0] * reduction}."
        )
    return image


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
