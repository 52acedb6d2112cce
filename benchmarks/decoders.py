"""Measure JPEG decoders on real camera pictures: alone, and up to the letterboxed tensor.

    python -m benchmarks.decoders        # the tables, and benchmarks/out/decoders.md

One thread's CPU time, which others' load disturbs least; alternating rounds, medians. simplejpeg
and PyTurboJPEG join in where they are installed. A reduced JPEG is decoded at the smallest of 1/2,
1/4 and 1/8 that still covers its place in the network's input. The second table is what a JPEG of
many scans costs: a decoder goes over the whole picture for each.
"""

from __future__ import annotations

import argparse
import importlib
import io
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pil

from sightline_engines.clip import read_clip
from sightline_engines.picture import PictureLimits, decode_frame, decode_picture, encode_jpeg
from sightline_engines.preprocess import letterbox_into
from sightline_engines.types import Image

CLIP = "video/swdee_people-walking.mp4"
SIZES = ((640, 480), (1280, 720), (1920, 1080))
INPUTS = (416, 640)
QUALITY = 85
FRAMES = 5
SCANS = (1, 12, 16, 100)
SCANNED_WH = (4000, 2250)  # nine megapixels, the largest live frame
_OPENCV = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}

Decode = Callable[[bytes, tuple[int, int], int], Image]  # JPEG, its size, reduction -> pixels


def opencv(data: bytes, _: tuple[int, int], reduction: int) -> Image:
    """Decode with OpenCV."""
    flags = _OPENCV[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), flags), np.uint8)


def pillow(data: bytes, size_wh: tuple[int, int], reduction: int) -> Image:
    """Decode with Pillow, whose pictures are RGB."""
    picture = Pil.open(io.BytesIO(data))
    if reduction > 1:
        picture.draft("RGB", (size_wh[0] // reduction, size_wh[1] // reduction))
    return np.asarray(picture)[..., ::-1]


def decoders() -> dict[str, Decode]:
    """Return the decoders that are installed here."""
    found: dict[str, Decode] = {"OpenCV": opencv}
    found |= _simplejpeg()
    found |= _turbojpeg()
    return found | {"Pillow": pillow}


def _simplejpeg() -> dict[str, Decode]:
    try:
        import simplejpeg
    except ImportError:
        return {}

    def decoder(fastdct: bool) -> Decode:
        def decode(data: bytes, size_wh: tuple[int, int], reduction: int) -> Image:
            width, height = (-(-side // reduction) for side in size_wh)
            return np.asarray(
                simplejpeg.decode_jpeg(
                    data,
                    "BGR",
                    fastdct=fastdct,
                    min_width=width,
                    min_height=height,
                    min_factor=reduction,
                )
            )

        return decode

    return {"simplejpeg": decoder(False), "simplejpeg, fast DCT": decoder(True)}


def _turbojpeg() -> dict[str, Decode]:
    try:
        turbo = importlib.import_module("turbojpeg").TurboJPEG()
    except (ImportError, RuntimeError, OSError):  # the package, or the system's library
        return {}
    return {
        "PyTurboJPEG": lambda data, _, reduction: np.asarray(
            turbo.decode(data, scaling_factor=(1, reduction))
        )
    }


@dataclass(frozen=True, slots=True)
class Row:
    """One decoder on one size for one input; medians in ms."""

    size_wh: tuple[int, int]
    input_side: int
    reduction: int
    decoder: str
    decode_ms: float
    boxed_ms: float  # decode and letterbox

    @property
    def case(self) -> tuple[tuple[int, int], int, int]:
        """Return what decoders are compared on."""
        return self.size_wh, self.input_side, self.reduction


def main() -> None:
    """Read the command line, measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/out"))
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    rows: list[Row] = []
    for size_wh in SIZES:
        pictures = frames(asked.data / CLIP, size_wh)
        for side in INPUTS:
            for reduction in sorted({1, smallest(size_wh, side)}):
                rows += measure(pictures, size_wh, side, reduction, asked.rounds)
    text = table(rows) + "\n" + scan_table(asked.data / CLIP)
    print(text)
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "decoders.md").write_text(text)


def frames(clip: Path, size_wh: tuple[int, int]) -> list[bytes]:
    """Cut JPEGs of a size out of a clip, a second apart."""
    found: list[bytes] = []
    for index, frame in enumerate(read_clip(clip)):
        if index % 30 == 0:
            image = cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA)
            found.append(encode_jpeg(np.asarray(image, np.uint8), QUALITY))
        if len(found) == FRAMES:
            break
    return found


def smallest(size_wh: tuple[int, int], side: int) -> int:
    """Return the largest reduction that still covers a square input."""
    return max(step for step in (1, 2, 4, 8) if step == 1 or max(size_wh) >= side * step)


def measure(
    pictures: list[bytes], size_wh: tuple[int, int], side: int, reduction: int, rounds: int
) -> Iterable[Row]:
    """Time every decoder on every picture, taking turns."""
    place = np.empty((side, side, 3), np.uint8)
    decode_ms: dict[str, list[float]] = {}
    boxed_ms: dict[str, list[float]] = {}
    installed = decoders()
    for turn in range(rounds):
        for name, decode in installed.items():
            # The first picture of a turn isn't counted: it settles the allocator and the caches.
            for index, data in enumerate([pictures[turn % len(pictures)], *pictures]):
                started = time.thread_time()
                image = decode(data, size_wh, reduction)
                decoded = time.thread_time()
                letterbox_into(place, image, False, 114, size_wh)
                ended = time.thread_time()
                del image  # its memory is the next one's, as in the server
                if index:
                    decode_ms.setdefault(name, []).append((decoded - started) * 1e3)
                    boxed_ms.setdefault(name, []).append((ended - started) * 1e3)
    for name in installed:
        alone, boxed = statistics.median(decode_ms[name]), statistics.median(boxed_ms[name])
        yield Row(size_wh, side, reduction, name, alone, boxed)


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown, each beside OpenCV on the same case."""
    lines = [
        "| picture | input | scale | decoder | decode, ms | with letterbox, ms | x OpenCV |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    base = {row.case: row.boxed_ms for row in rows if row.decoder == "OpenCV"}
    for row in rows:
        lines.append(
            f"| {row.size_wh[0]}x{row.size_wh[1]} | {row.input_side} | 1/{row.reduction} "
            f"| {row.decoder} | {row.decode_ms:.2f} | {row.boxed_ms:.2f} "
            f"| {row.boxed_ms / base[row.case]:.2f} |"
        )
    return "\n".join(lines) + "\n"


def scan_table(clip: Path) -> str:
    """Return as Markdown what large JPEGs of many scans take, uploaded and as live frames."""
    photo = np.asarray(cv2.resize(next(read_clip(clip)), SCANNED_WH), np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (250, 250, 3), np.uint8)
    kinds = {
        "flat": np.full_like(photo, 114),
        "photo": photo,
        "noise": np.asarray(cv2.resize(noise, SCANNED_WH), np.uint8),
    }
    lines = [
        f"| {SCANNED_WH[0]}x{SCANNED_WH[1]} | scans | MiB | decode, ms | for a 416 input, ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    limits = PictureLimits(max_bytes=2**30)
    for name, image in kinds.items():
        for count in SCANS:
            data = encode_jpeg(image, QUALITY) if count == 1 else scanned(image, count)
            whole = fastest(partial(decode_picture, data, limits))
            live = fastest(partial(decode_frame, data, limits, (416, 416)))
            size = len(data) / 2**20
            lines.append(f"| {name} | {count} | {size:.1f} | {whole:.0f} | {live:.0f} |")
    return "\n".join(lines) + "\n"


def fastest(step: Callable[[], object]) -> float:
    """Return the least CPU time of three runs, in ms."""
    taken = []
    for _ in range(3):
        started = time.thread_time()
        step()
        taken.append((time.thread_time() - started) * 1e3)
    return min(taken)


def scanned(image: Image, count: int) -> bytes:
    """Return a progressive JPEG of `count` scans: the last one, over and over."""
    out = io.BytesIO()
    Pil.fromarray(image).save(out, "JPEG", quality=QUALITY, progressive=True)
    data = out.getvalue()
    starts = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    return data[:-2] + data[starts[-1] : -2] * (count - len(starts)) + data[-2:]


if __name__ == "__main__":
    main()
