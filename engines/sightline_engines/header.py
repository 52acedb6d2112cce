"""Read a picture's format, size and orientation from its header, before any pixel exists."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sightline_engines.errors import PictureCorruptError, PictureFormatError
from sightline_engines.exif import orientation

ACCEPTED = ("JPEG", "PNG", "WebP", "BMP")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those three are tables
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_MAX_PNG_CHUNKS = 100_000  # a real one of 20 MB has some thousand
_KNOWN_STARTS = {
    b"GIF8": "a GIF",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"%PDF": "a PDF",
    b"<svg": "an SVG",
    b"<?xm": "XML, an SVG perhaps",
    b"\0\0\0\x0c": "a JPEG 2000",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"\0\0\1\0": "an icon",
}


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a picture says of itself; sizes are as stored, before it is turned upright."""

    format: str
    width: int
    height: int
    orientation: int = 1  # EXIF, 1..8


def parse_header(data: memoryview) -> PictureHeader:
    """Return a picture's header; raises PictureFormatError or PictureCorruptError."""
    start = bytes(data[:16])
    try:
        if start.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if start.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(data)
        if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
            return _webp(data)
        if start.startswith(b"BM"):
            return _bmp(data)
    except struct.error as error:
        raise PictureCorruptError("The picture ends within its header.") from error
    found = _KNOWN_STARTS.get(start[:4], "no picture that is known here")
    raise PictureFormatError(f"This is {found}; accepted are {', '.join(ACCEPTED)}.")


def _jpeg(data: memoryview) -> PictureHeader:
    turned, at = 1, 2
    while True:
        lead, marker = struct.unpack_from("BB", data, at)
        if lead != 0xFF:
            raise PictureCorruptError("The JPEG's header is damaged: a marker is missing.")
        if marker == 0xFF:  # filling
            at += 1
            continue
        if marker in _JPEG_BARE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker == 0xE1 and bytes(body[:6]) == b"Exif\0\0":
            turned = orientation(body[6:])
        if marker in _JPEG_FRAMES:
            bits, height, width = struct.unpack_from(">BHH", body)
            if bits != 8:
                raise PictureCorruptError(
                    f"The JPEG has {bits} bits a colour, and only 8 can be read. Save it as PNG."
                )
            _require_jpeg_end(data[at:])
            return PictureHeader("JPEG", width, height, turned)
        if marker in (0xD9, 0xDA) or length < 2:
            raise PictureCorruptError("The JPEG has no frame header.")
        at += 2 + length


def _png(data: memoryview) -> PictureHeader:
    """Walk all chunks: a decoder takes memory for the length that a damaged chunk claims."""
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR" or length != 13:
        raise PictureCorruptError("The PNG doesn't begin with its header.")
    turned, at = 1, 8
    for _ in range(_MAX_PNG_CHUNKS):
        if at + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            break
        if kind == b"IEND":
            return PictureHeader("PNG", width, height, turned)
        if kind == b"eXIf":
            turned = orientation(data[at + 8 : at + 8 + length])
        at += 12 + length
    raise PictureCorruptError("The PNG is cut off or damaged: its end is missing.")


def _webp(data: memoryview) -> PictureHeader:
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise PictureCorruptError("The WebP is cut off: its end is missing.")
    kind = bytes(data[12:16])
    if kind == b"VP8 ":  # 3 bytes of frame tag, 3 of start code, then 14 bits a side
        width, height = struct.unpack_from("<HH", data, 26)
        return PictureHeader("WebP", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":  # a signature byte, then 14 bits a side, each less one
        (bits,) = struct.unpack_from("<I", data, 21)
        return PictureHeader("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind != b"VP8X":
        raise PictureCorruptError("The WebP doesn't begin with its picture.")
    low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
    return PictureHeader(
        "WebP", (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1, _webp_orientation(data)
    )


def _webp_orientation(data: memoryview) -> int:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            body = data[at + 8 : at + 8 + length]
            return orientation(body[6:] if bytes(body[:6]) == b"Exif\0\0" else body)
        at += 8 + length + length % 2
    return 1


def _bmp(data: memoryview) -> PictureHeader:
    (header,) = struct.unpack_from("<I", data, 14)
    if header == 12:  # the OS/2 form
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return PictureHeader("BMP", width, abs(height))  # a negative height is stored top down


def _require_jpeg_end(data: memoryview) -> None:
    """Refuse a file that is cut off: half a picture would give half the detections, silently."""
    end = b"\xff\xd9"
    if bytes(data[-2:]) != end and bytes(data).rfind(end) < 0:
        raise PictureCorruptError("The JPEG is cut off: its end is missing.")
