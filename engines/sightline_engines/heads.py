"""Decode what each family's network returns into boxes in input pixels."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sightline_engines.errors import ModelFileError
from sightline_engines.layout import class_count, grid_strides
from sightline_engines.types import Family, ModelSpec, RawOutput

Floats = NDArray[np.float32]


class Candidates(NamedTuple):
    """Boxes of one picture above the threshold, before NMS."""

    xyxy: Floats  # (n, 4) input pixels
    score: Floats  # (n,)
    class_id: NDArray[np.int32]  # (n,)


def check_output(raw: RawOutput, spec: ModelSpec) -> None:
    """Raise ModelFileError unless the first run's output is laid out as the family says."""
    shape = raw[0].shape
    fits = len(raw) == 1 and len(shape) == 3
    if fits and spec.family is Family.END2END:
        fits = shape[2] == 6
    elif fits:
        count = class_count(spec.family, shape)
        fits = count == len(spec.labels)
    if fits and spec.family is Family.YOLOX:
        fits = grid_strides(spec.input_size_wh, shape[1]) is not None
    if not fits:
        shapes = ", ".join(str(list(output.shape)) for output in raw)
        raise ModelFileError(
            f"{spec.path.name} returned {shapes}, which is no {spec.family} output with "
            f"{len(spec.labels)} classes. Correct family and labels in the sidecar."
        )


def decode(output: Floats, spec: ModelSpec, conf: float) -> Candidates:
    """Return the boxes of one picture that score at least `conf`, best class of each."""
    match spec.family:
        case Family.YOLOX:
            return _yolox(output, spec, conf)
        case Family.YOLOV5:
            return _yolov5(output, conf)
        case Family.YOLOV8:
            return _yolov8(output, conf)
        case Family.END2END:
            return _end2end(output, conf)


def _yolox(output: Floats, spec: ModelSpec, conf: float) -> Candidates:
    index, score, class_id = _objectness(output, conf)
    rows = output[index]
    cells = _grid(spec.input_size_wh, len(output))[index]
    stride = cells[:, 2:]
    centre = (rows[:, :2] + cells[:, :2]) * stride
    size = np.exp(rows[:, 2:4]) * stride
    return Candidates(_corners(centre, size), score, class_id)


def _yolov5(output: Floats, conf: float) -> Candidates:
    index, score, class_id = _objectness(output, conf)
    rows = output[index]
    return Candidates(_corners(rows[:, :2], rows[:, 2:4]), score, class_id)


def _yolov8(output: Floats, conf: float) -> Candidates:
    classes = output[4:]  # (C, A): classes lie row by row, so the maximum reads straight through
    index = np.flatnonzero(classes.max(axis=0) >= conf)
    found = classes[:, index]
    class_id = found.argmax(axis=0).astype(np.int32)
    rows = output[:4, index].T
    score = found[class_id, np.arange(len(index))]
    return Candidates(_corners(rows[:, :2], rows[:, 2:]), score, class_id)


def _end2end(output: Floats, conf: float) -> Candidates:
    rows = output[output[:, 4] >= conf]
    return Candidates(rows[:, :4].copy(), rows[:, 4].copy(), _whole(rows[:, 5]))


def _objectness(output: Floats, conf: float) -> tuple[NDArray[np.intp], Floats, NDArray[np.int32]]:
    """Return row, score and class of (A, 5+C) rows whose objectness * class reaches `conf`.

    A class score is at most 1, so objectness alone rules out nearly every row first.
    """
    index = np.flatnonzero(output[:, 4] >= conf)
    classes = output[index, 5:]
    class_id = classes.argmax(axis=1).astype(np.int32)
    score = output[index, 4] * classes[np.arange(len(index)), class_id]
    keep = score >= conf
    return index[keep], score[keep], class_id[keep]


def _corners(centre: Floats, size: Floats) -> Floats:
    half = size / 2
    return np.concatenate((centre - half, centre + half), axis=1)


def _whole(values: Floats) -> NDArray[np.int32]:
    """Round class numbers; a damaged model's nonsense becomes class 0 and not a warning."""
    return np.nan_to_num(values, nan=0, posinf=0, neginf=0).clip(0, 1e6).round().astype(np.int32)


@lru_cache(maxsize=16)
def _grid(size_wh: tuple[int, int], rows: int) -> Floats:
    """Return each row's cell as (rows, 3): x, y, stride."""
    strides = grid_strides(size_wh, rows)
    if strides is None:
        raise ModelFileError(f"{rows} rows fit no YOLOX grid at {size_wh[0]}x{size_wh[1]}.")
    levels = []
    for stride in strides:
        y, x = np.mgrid[: size_wh[1] // stride, : size_wh[0] // stride]
        levels.append(np.stack((x.ravel(), y.ravel(), np.full(x.size, stride)), axis=1))
    return np.concatenate(levels).astype(np.float32)
