"""Read a picture's format, size and orientation from its header, before any pixel exists."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from sightline_engines.errors import PictureCorruptError, PictureFormatError
from sightline_engines.exif import orientation

ACCEPTED = ("JPEG", "PNG", "WebP", "BMP")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those three are tables
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_JPEG_SKIPPED = frozenset({0xC4, 0xDA, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})  # with a length
_FILLING = re.compile(rb"\xff*")
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # not a stuffed byte nor a restart
_MAX_FILLING = 4096  # bytes
_MAX_PARTS = 10_000  # a PNG of 20 MB in pieces of 4 KiB has half as many
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


def parse_header(data: memoryview, max_scans: int = 100) -> PictureHeader:
    """Return a picture's header; raises PictureFormatError or PictureCorruptError.

    A decoder goes over the whole picture for each of a JPEG's scans: more than `max_scans`
    are refused.
    """
    start = bytes(data[:16])
    try:
        if start.startswith(b"\xff\xd8\xff"):
            return _jpeg(data, max_scans)
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


def _jpeg(data: memoryview, max_scans: int) -> PictureHeader:
    turned, at = None, 2
    for _ in range(_MAX_PARTS):
        lead, marker = struct.unpack_from("BB", data, at)
        if lead != 0xFF:
            raise PictureCorruptError("The JPEG's header is damaged: a marker is missing.")
        if marker == 0xFF:
            at = _end_of_filling(data, at) - 1
            continue
        if marker in _JPEG_BARE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker == 0xE1 and turned is None and bytes(body[:6]) == b"Exif\0\0":
            turned = orientation(body[6:])
        if marker in _JPEG_FRAMES:
            return _jpeg_frame(body, data[at:], turned or 1, max_scans)
        if marker in (0xD9, 0xDA) or length < 2:
            raise PictureCorruptError("The JPEG has no frame header.")
        at += 2 + length
    raise _too_many_parts("JPEG")


def _end_of_filling(data: memoryview, at: int) -> int:
    """Return where bytes of 0xFF end that an encoder may put before a marker."""
    found = _FILLING.match(data, at, at + _MAX_FILLING)
    if found is None or found.end() == at + _MAX_FILLING:
        raise PictureCorruptError("The JPEG's header is damaged: it has nothing but filling.")
    return found.end()


def _jpeg_frame(body: memoryview, rest: memoryview, turned: int, max_scans: int) -> PictureHeader:
    """Return the header by a frame's `body`; look through the `rest` of the file from there."""
    bits, height, width = struct.unpack_from(">BHH", body)
    if bits != 8:
        raise PictureCorruptError(
            f"The JPEG has {bits} bits a colour, and only 8 can be read. Save it as PNG."
        )
    data = bytes(rest)
    if data.rfind(b"\xff\xd9") < 0:  # half a picture would give half the detections, silently
        raise PictureCorruptError("The JPEG is cut off: its end is missing.")
    # Counting the two bytes anywhere is quick and never too few: most files end here.
    if data.count(b"\xff\xda") > max_scans and _scans(data, 4 + len(body), max_scans) > max_scans:
        raise PictureCorruptError(
            f"The JPEG is stored in more than {max_scans} scans, which takes too long to decode. "
            "Save it anew, as a plain JPEG."
        )
    return PictureHeader("JPEG", width, height, turned)


def _scans(data: bytes, at: int, enough: int) -> int:
    """Count a JPEG's scans up to its end, as a decoder comes by them; stop above `enough`.

    Tables, texts and what a camera appends to the file may hold the two bytes by chance.
    """
    count = 0
    for _ in range(_MAX_PARTS):
        found = _NEXT_MARKER.search(data, at)
        if found is None or count > enough:
            return count
        marker = data[found.end() - 1]
        if marker == 0xD9:
            return count
        count += marker == 0xDA
        at = found.end()
        if marker in _JPEG_SKIPPED:
            at += int.from_bytes(data[at : at + 2], "big")
    raise _too_many_parts("JPEG")


def _too_many_parts(kind: str) -> PictureCorruptError:
    return PictureCorruptError(
        f"The {kind} is made of more than {_MAX_PARTS} parts. Save it anew to put it in order."
    )


def _png(data: memoryview) -> PictureHeader:
    """Walk all chunks: a decoder takes memory for the length that a damaged chunk claims."""
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR" or length != 13:
        raise PictureCorruptError("The PNG doesn't begin with its header.")
    turned, at = None, 8
    for _ in range(_MAX_PARTS):
        if at + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            break
        if kind == b"IEND":
            return PictureHeader("PNG", width, height, turned or 1)
        if kind == b"eXIf" and turned is None:
            turned = orientation(data[at + 8 : at + 8 + length])
        at += 12 + length
    else:
        raise _too_many_parts("PNG")
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
    for _ in range(_MAX_PARTS):
        if at + 8 > len(data):
            return 1
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            body = data[at + 8 : at + 8 + length]
            return orientation(body[6:] if bytes(body[:6]) == b"Exif\0\0" else body)
        at += 8 + length + length % 2
    raise _too_many_parts("WebP")


def _bmp(data: memoryview) -> PictureHeader:
    (header,) = struct.unpack_from("<I", data, 14)
    if header == 12:  # the OS/2 form
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return PictureHeader("BMP", width, abs(height))  # a negative height is stored top down
