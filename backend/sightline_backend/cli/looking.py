"""Files looked at by a detector: what was seen in each picture, or frame of a clip."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sightline_engines.clip import read_clip
from sightline_engines.errors import (
    PictureCorruptError,
    PictureError,
    PictureTooLargeError,
)
from sightline_engines.header import parse_header
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.pipeline import DetectOptions, detect
from sightline_engines.types import Engine, Image, Result, Timings


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One picture and the answer to it; `result.seq` counts a clip's frames from 0."""

    image: Image
    result: Result


@dataclass(frozen=True, slots=True)
class Looker:
    """Runs one engine over files; what is read decides how, not the file's name."""

    engine: Engine
    options: DetectOptions
    limits: PictureLimits

    def picture(self, path: Path) -> Seen:
        """Return what a picture shows; raises the PictureError family."""
        started = time.perf_counter()
        if path.stat().st_size > self.limits.max_bytes:
            raise PictureTooLargeError(
                f"{path.name} has {path.stat().st_size / 2**20:.1f} MiB; at most "
                f"{self.limits.max_bytes / 2**20:.0f} are read. Save it smaller."
            )
        return self._look(decode_picture(path.read_bytes(), self.limits), 0, started)

    def clip(self, path: Path) -> Iterator[Seen]:
        """Yield what each frame of a clip shows; raises ClipError."""
        started = time.perf_counter()
        for number, image in enumerate(read_clip(path)):
            yield self._look(image, number, started)
            started = time.perf_counter()

    def _look(self, image: Image, number: int, started: float) -> Seen:
        decoded = time.perf_counter()
        (detections,), times = detect(self.engine, [image], [self.options])
        timings = Timings(
            decode=(decoded - started) * 1e3,
            preprocess=times.preprocess,
            infer=times.infer,
            postprocess=times.postprocess,
            total=(time.perf_counter() - started) * 1e3,
        )
        size_wh = (image.shape[1], image.shape[0])
        served = self.engine.served
        return Seen(image, Result(number, 0, size_wh, detections, timings, served))


def require_picture(path: Path) -> None:
    """Look at how a file begins; pass a picture, whole or damaged.

    Raises PictureFormatError for anything else, PictureError for what can't be opened.
    """
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise PictureError(
            f"It can't be read: {(error.strerror or str(error)).lower()}."
        ) from error
    with suppress(PictureCorruptError):  # it ends within its header: these are 16 bytes of it
        parse_header(memoryview(start))
