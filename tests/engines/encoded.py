"""Small encoded pictures made by hand, for what no library writes."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image as Pil

from sightline_engines.types import Image


def scene(width: int = 48, height: int = 32) -> Image:
    """Return a BGR picture whose four corners differ, smooth enough for JPEG."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (0, 0, 255)
    image[: height // 2, width // 2 :] = (0, 255, 0)
    image[height // 2 :, : width // 2] = (255, 0, 0)
    image[height // 2 :, width // 2 :] = (200, 200, 200)
    return image


def encoded(image: Image, kind: str, **options: Any) -> bytes:
    """Return a BGR picture as a file of Pillow's format `kind`."""
    out = io.BytesIO()
    Pil.fromarray(np.ascontiguousarray(image[..., ::-1])).save(out, kind, **options)
    return out.getvalue()


def exif(orientation: int, order: str = "<") -> bytes:
    """Return an EXIF block with one tag, the orientation, in either byte order."""
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + start + struct.pack(f"{order}H", 1) + entry + bytes(4)


def many_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan, one of refinement, is there `count` times."""
    data = encoded(scene(), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return one chunk of a PNG with its check sum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that says it is as large as asked."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + pixels + png_chunk(b"IEND", b"")
