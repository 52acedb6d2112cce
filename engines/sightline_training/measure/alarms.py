"""False alarms: what is found in pictures, frames and folders where nobody is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sightline_training.boxes import Array
from sightline_training.measure.tables import table
from sightline_training.samples import LABELS, Sample, read_picture

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, slots=True)
class Alarm:
    """One detection where nobody is."""

    where: str
    label: int
    score: float

    def __str__(self) -> str:
        return f"{self.where}: {LABELS[self.label]} {self.score:.2f}"


@dataclass(frozen=True, slots=True)
class Alarms:
    """What was found in a number of pictures without people."""

    where: str
    pictures: int
    found: tuple[Alarm, ...]

    @property
    def per_hundred(self) -> float | None:
        """Detections in 100 pictures; None where there was no picture."""
        return 100 * len(self.found) / self.pictures if self.pictures else None


def without_people(samples: Sequence[Sample]) -> list[int]:
    """List the samples in which nobody drew a person, nor a crowd."""
    return [i for i, sample in enumerate(samples) if not (sample.boxes[:, 4] == 0).any()]


def count(where: str, pictures: Iterable[tuple[str, Array]]) -> Alarms:
    """Count every row of (name, rows that are shown)."""
    total, found = 0, []
    for name, rows in pictures:
        total += 1
        found += [Alarm(name, int(row[4]), float(row[5])) for row in rows]
    return Alarms(where, total, tuple(found))


def pictures_in(folder: Path) -> list[Path]:
    """List the pictures of a folder, each of which can be read.

    Raises:
        ValueError: it holds none, or one that can't be read.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; --empty takes a folder of pictures")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(
            f"{folder} holds no picture; put some without people there, as {', '.join(SUFFIXES)}"
        )
    for file in files:
        read_picture(file)
    return files


def alarm_table(by_name: Mapping[str, Sequence[Alarms]]) -> str:
    """Lay out what each model, by name, finds where nobody is."""
    rows = []
    for name, places in by_name.items():
        for one in places:
            share = "-" if one.per_hundred is None else f"{one.per_hundred:.1f}"
            rows.append((name, one.where, str(one.pictures), str(len(one.found)), share))
    return table(("model", "where nobody is", "pictures", "false alarms", "in 100"), rows)


def alarm_list(by_name: Mapping[str, Sequence[Alarms]]) -> str:
    """Name every false alarm."""
    lines = [
        f"- {name}, {one.where}, {alarm}"
        for name, places in by_name.items()
        for one in places
        for alarm in one.found
    ]
    return "\n".join(lines) or "No false alarm."
