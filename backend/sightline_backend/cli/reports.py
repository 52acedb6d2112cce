"""How `sightline detect` writes what was seen: JSON, CSV, or the pictures with boxes drawn."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

from sightline_backend.cli.console import stderr
from sightline_backend.cli.looking import Seen
from sightline_backend.formats import CSV_COLUMNS, as_json
from sightline_engines.clip import ClipInfo, ClipWriter
from sightline_engines.draw import draw_detections
from sightline_engines.errors import ClipError, PictureError, SightlineError
from sightline_engines.picture import encode_as
from sightline_engines.spreadsheet import cell
from sightline_engines.types import Image

Format = Literal["json", "csv", "image"]


class Report(Protocol):
    """Takes what was seen in each input, in order."""

    def picture(self, source: Path, seen: Seen) -> None: ...

    def clip(self, source: Path, info: ClipInfo, frames: Iterator[Seen]) -> None: ...

    def failed(self, source: Path, error: SightlineError) -> None: ...


class JsonReport:
    """One JSON array, an object a line: a picture, a clip's frame, or an input that failed."""

    def __init__(self, file: TextIO, labels: tuple[str, ...]) -> None:
        self._file = file
        self._labels = labels
        self._separator = "[\n"

    def picture(self, source: Path, seen: Seen) -> None:
        """Write a picture's answer, as POST /detect gives it."""
        self._write({"source": str(source), **as_json(seen.result, self._labels)})

    def clip(self, source: Path, info: ClipInfo, frames: Iterator[Seen]) -> None:
        """Write the frames' answers as they come."""
        for seen in frames:
            number = seen.result.seq
            where = {"source": str(source), "frame": number, "time_s": round(number / info.fps, 3)}
            self._write({**where, **as_json(seen.result, self._labels)})

    def failed(self, source: Path, error: SightlineError) -> None:
        """Write what kept an input from being read."""
        what = {"code": error.code, "message": error.message}
        self._write({"source": str(source), "error": what})

    def close(self) -> None:
        """End the array."""
        self._file.write("[]\n" if self._separator == "[\n" else "\n]\n")

    def _write(self, row: dict[str, Any]) -> None:
        self._file.write(self._separator + json.dumps(row))
        self._separator = ",\n"


class CsvReport:
    """One line a detection; a picture's frame is empty."""

    def __init__(self, file: TextIO, labels: tuple[str, ...]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._labels = labels
        self._writer.writerow(["source", "frame", *CSV_COLUMNS])

    def picture(self, source: Path, seen: Seen) -> None:
        """Write a picture's detections."""
        self._rows(source, "", seen)

    def clip(self, source: Path, info: ClipInfo, frames: Iterator[Seen]) -> None:
        """Write the frames' detections as they come."""
        for seen in frames:
            self._rows(source, seen.result.seq, seen)

    def failed(self, source: Path, error: SightlineError) -> None:
        """Write nothing: a table of detections has no place for it."""

    def _rows(self, source: Path, frame: int | str, seen: Seen) -> None:
        for row in seen.result.detections.to_dicts(self._labels):
            fields = (row["class_id"], cell(row["class_name"]), row["score"], *row["xyxy"])
            self._writer.writerow([cell(str(source)), frame, *fields])


class PictureReport:
    """The inputs with their boxes drawn: by --output's suffix or JPEG, and MP4 for a clip."""

    def __init__(
        self, output: Path | None, labels: tuple[str, ...], inputs: Sequence[Path]
    ) -> None:
        """Take the folder or, for one input, the file to write; None: the current folder."""
        self._labels = labels
        self._inputs = {path.resolve() for path in inputs}
        self._file = None if len(inputs) > 1 or (output and output.is_dir()) else output
        self._folder = output or Path()
        self.paths: list[Path] = []  # what was written

    def picture(self, source: Path, seen: Seen) -> None:
        """Write a picture in the format that its name says."""
        target = self._target(source, ".jpg")
        target.write_bytes(encode_as(self._drawn(seen), target.suffix))
        self.paths.append(target)

    def clip(self, source: Path, info: ClipInfo, frames: Iterator[Seen]) -> None:
        """Write an MP4, there once it can be played; of a clip that breaks off, what there was."""
        target = self._target(source, ".mp4")
        if target.suffix.lower() != ".mp4":
            raise ClipError(f"A clip is written as MP4: name {target} .mp4, or give a folder.")
        part = target.with_name(f"{target.name}.part")
        broken: ClipError | None = None
        try:
            with ClipWriter(part, (info.width, info.height), info.fps) as writer:
                while True:
                    try:
                        seen = next(frames, None)
                    except ClipError as error:
                        broken = error
                        break
                    if seen is None:
                        break
                    writer.write(self._drawn(seen))
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        self.paths.append(target)
        if broken is not None:
            raise broken

    def failed(self, source: Path, error: SightlineError) -> None:
        """Write nothing."""

    def _drawn(self, seen: Seen) -> Image:
        return draw_detections(seen.image, seen.result.detections, self._labels)

    def _target(self, source: Path, suffix: str) -> Path:
        """Return where an input's picture goes: never onto an input, never twice to one place."""
        target = self._file
        if target is None:
            stem = f"{source.stem}-detected"
            number = sum(path.stem.startswith(stem) for path in self.paths)
            target = self._folder / f"{stem}{f'-{number + 1}' if number else ''}{suffix}"
        if target.resolve() in self._inputs:
            raise PictureError(f"{target} is an input and would be written over: change --output.")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


@contextmanager
def open_report(
    format_: Format, output: Path | None, labels: tuple[str, ...], inputs: Sequence[Path]
) -> Iterator[Report]:
    """Give a report that writes to `output`, or to the standard output where there is none."""
    if format_ == "image":
        pictures = PictureReport(output, labels, inputs)
        yield pictures
        for path in pictures.paths:
            stderr.print(f"wrote {path}", markup=False, soft_wrap=True)
        return
    with ExitStack() as stack:
        file = stack.enter_context(output.open("w", newline="")) if output else sys.stdout
        if format_ == "csv":
            yield CsvReport(file, labels)
            return
        report = JsonReport(file, labels)
        yield report
        report.close()
