"""Pictures as the engines see them, for calibrating INT8 and for looking at a model's values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_engines.errors import ModelFileError, PictureError
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.preprocess import preprocess
from sightline_engines.progress import Progress, quiet
from sightline_engines.types import Image, ModelSpec, Tensor

Floats = NDArray[np.float32]

_ENOUGH = 100  # pictures to calibrate on; with fewer it is said


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Letterboxed pictures that become a model's own float input one at a time.

    Kept as bytes: as floats 200 of them at 640x640 would take a gigabyte.
    """

    tensor: Tensor  # (N, h, w, 3) BGR
    spec: ModelSpec
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, index: int) -> Floats:
        """Return one picture as (B, 3, h, w), B being the model's fixed batch or 1."""
        return floats(self.tensor[index : index + 1], self.spec)

    def __iter__(self) -> Iterator[Floats]:
        return (self[index] for index in range(len(self)))


def floats(tensor: Tensor, spec: ModelSpec) -> Floats:
    """Return one picture (1, h, w, 3) as the model's own input, repeated to its fixed batch."""
    image = tensor[..., ::-1] if spec.preprocess.color == "rgb" else tensor
    planes = image.transpose(0, 3, 1, 2).astype(np.float32) * np.float32(spec.preprocess.scale)
    return np.ascontiguousarray(np.repeat(planes, spec.static_batch or 1, axis=0))


def spread(pictures: Sequence[Path], most: int) -> list[Path]:
    """Return at most so many pictures, evenly spread over the whole sequence."""
    count = min(len(pictures), most)
    return [pictures[i * len(pictures) // count] for i in range(count)]


def load_pictures(
    pictures: Sequence[Path], most: int, progress: Progress = quiet
) -> tuple[list[Image], tuple[str, ...]]:
    """Return at most so many pictures and a note on those that can't be read.

    Raises ModelFileError where none can be.
    """
    images: list[Image] = []
    unreadable: list[str] = []
    chosen = spread(pictures, most)
    for number, path in enumerate(chosen):
        progress(number / len(chosen), f"reading picture {number + 1} of {len(chosen)}")
        try:
            images.append(decode_picture(path.read_bytes(), PictureLimits()))
        except (PictureError, OSError) as error:
            unreadable.append(f"{path.name} ({error})")
    if not images:
        found = f"; the first is {unreadable[0]}" if unreadable else ""
        raise ModelFileError(
            f"None of the {len(chosen)} pictures can be read{found}. Name a data set with "
            "JPEG, PNG, WebP or BMP pictures like those that the model will see."
        )
    return images, unreadable_note(unreadable, len(chosen))


def unreadable_note(unreadable: Sequence[str], among: int) -> tuple[str, ...]:
    """Return what to say of pictures that can't be read ("name (why)"); nothing if there are none.

    A list of notes, to be added to others.
    """
    if not unreadable:
        return ()
    listed = ", ".join(unreadable[:3]) + (" and others" if len(unreadable) > 3 else "")
    return (f"{len(unreadable)} of {among} pictures can't be read: {listed}.",)


def calibration_samples(
    pictures: Sequence[Path], spec: ModelSpec, most: int, progress: Progress = quiet
) -> Samples:
    """Return at most so many pictures, letterboxed as the engines do it.

    Raises ModelFileError where none can be read.
    """
    images, notes = load_pictures(pictures, most, progress)
    if len(images) < _ENOUGH:
        notes += (
            f"INT8 was calibrated on few pictures ({len(images)}); with some 200, like those that "
            "the model will see, it loses less.",
        )
    return Samples(preprocess(images, spec).tensor, spec, notes)
