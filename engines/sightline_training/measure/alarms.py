"""False alarms: what is found in pictures, frames and folders where nobody is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline_training.boxes import Array
from sightline_training.measure.tables import table
from sightline_training.samples import LABELS, Picture, Sample, read_picture

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

# A frame is empty if the reference sees nobody, even at this score, for this long before and
# after, and hardly a pixel differs from the median of all such frames.
SEEN, AROUND_S = 0.05, 1.0
DIFFERENT, SHARE = 20, 0.01  # grey levels; share of a glimpse's pixels


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


def glimpse(bgr: Picture) -> Picture:
    """Shrink a picture to 96x54 grey pixels, in which the noise is gone."""
    small = cv2.resize(bgr, (96, 54), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)


def empty_frames(
    glimpses: Sequence[Picture], reference: Sequence[Array], fps: float
) -> NDArray[np.bool_]:
    """Mark the frames of a fixed camera in which nobody is, without asking the measured model.

    Args:
        glimpses: of each frame.
        reference: of each frame, the rows (n, 6) of persons that another model finds.
        fps: frames a second.
    """
    seen = np.asarray([bool((rows[:, 5] >= SEEN).any()) for rows in reference], bool)
    around = round(AROUND_S * fps)
    quiet = np.asarray(
        [not seen[max(0, i - around) : i + around + 1].any() for i in range(len(seen))], bool
    )
    if not quiet.any():
        return quiet
    stack = np.stack(glimpses).astype(np.int16)
    room = np.median(stack[quiet], axis=0)
    return quiet & ((np.abs(stack - room) > DIFFERENT).mean((1, 2)) < SHARE)
