"""Labelled pictures, and the error of what isn't any."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from sightline_engines.errors import PictureError, PictureTooLargeError, SightlineError
from sightline_engines.picture import PictureLimits, read_header
from sightline_engines.texts import LABEL_CHARS, cut, plain
from sightline_engines.turn import upright_size

Layout: TypeAlias = Literal["coco", "yolo"]
_NAMED = 5  # missing pictures that a message names


class DatasetError(SightlineError):
    """A data set that is none, or is broken; the message names file and place."""

    code: ClassVar[str] = "bad_dataset"


@dataclass(frozen=True, slots=True)
class Box:
    """One object of the ground truth, in pixels of its picture."""

    xyxy: tuple[float, float, float, float]
    class_id: int  # index into the data set's classes
    area: float  # in square pixels; of its outline where the labels have one
    crowd: bool = False  # many in one box: neither found nor missed


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture's file and what is in it."""

    path: Path
    size_wh: tuple[int, int]
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Pictures in a fixed order, all of which are there, and the names of their classes."""

    name: str
    format: Layout
    classes: tuple[str, ...]
    pictures: tuple[LabelledPicture, ...]
    missing: tuple[str, ...] = ()  # pictures that the labels name and that can't be read, and why
    sha256: str = field(default="")  # over classes, labels and the pictures' names and sizes
    notes: tuple[str, ...] = ()  # what was there twice and counts once

    @property
    def paths(self) -> tuple[Path, ...]:
        """The pictures' files."""
        return tuple(picture.path for picture in self.pictures)

    @property
    def boxes(self) -> int:
        """How many objects there are to find."""
        return sum(len(picture.boxes) for picture in self.pictures)

    def most(self, count: int | None) -> Dataset:
        """Return at most so many pictures, spread evenly over the whole; None: all of them."""
        total = len(self.pictures)
        if count is None or count >= total:
            return self
        chosen = tuple(self.pictures[i * total // count] for i in range(count))
        return signed(replace(self, pictures=chosen))


def signed(dataset: Dataset) -> Dataset:
    """Return a data set with its SHA-256, which says whether two figures can be compared."""
    digest = hashlib.sha256(repr(dataset.classes).encode())
    for picture in dataset.pictures:
        digest.update(repr((picture.path.name, picture.size_wh, picture.boxes)).encode())
    return replace(dataset, sha256=digest.hexdigest())


def complete(
    name: str,
    layout: Layout,
    classes: Sequence[str],
    pictures: list[LabelledPicture],
    gone: list[str],
) -> Dataset:
    """Return a data set of pictures that are there; without boxes it serves to calibrate on.

    Raises DatasetError where most pictures are missing or no class is named.
    """
    if not pictures or len(gone) > len(pictures):
        named = "; ".join(gone[:_NAMED]) + ("; …" if len(gone) > _NAMED else "")
        found = f"of {len(pictures) + len(gone)} pictures {len(gone)} can't be read"
        raise DatasetError(f"{name}: {found}{': ' if named else ''}{named}.")
    if not classes:
        raise DatasetError(f"{name}: the labels name no class.")
    return signed(Dataset(name, layout, tuple(classes), tuple(pictures), tuple(gone)))


def class_name(text: str, at: str) -> str:
    """Return a class's name as it is shown; raises DatasetError for one that can't be."""
    name = plain(text, LABEL_CHARS)
    if name is None:
        raise DatasetError(
            f"{at}: the class {cut(text, 40)!r} has more than {LABEL_CHARS} characters, or some "
            "that can't be printed."
        )
    return name


def picture_size(path: Path, limits: PictureLimits) -> tuple[int, int]:
    """Return a picture's size (w, h), upright; raises PictureError, OSError."""
    if not path.is_file():
        raise PictureError("It isn't there.")
    if path.stat().st_size > limits.max_bytes:
        raise PictureTooLargeError(f"It has more than {limits.max_bytes} bytes.")
    header = read_header(path.read_bytes(), limits)
    return upright_size((header.width, header.height), header.orientation)
