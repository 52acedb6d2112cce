"""Tell detector families apart by the shape of their output.

A grid head has one row for each cell of its strides: for 640x640 and strides 8, 16, 32
that is 80*80 + 40*40 + 20*20 = 8400. YOLOX and YOLOv8 have one box a cell, YOLOv5 three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightline_engines.errors import ModelFileError
from sightline_engines.types import Family

if TYPE_CHECKING:  # which needs onnx; Triton's steps do without
    from sightline_engines.onnxfile import Shape

_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
_MAX_END2END = 1000  # rows that an end-to-end head returns; in practice 100 or 300


def cells(size_wh: tuple[int, int], strides: tuple[int, ...]) -> int:
    """Return how many grid cells an input has over its strides."""
    return sum((size_wh[0] // s) * (size_wh[1] // s) for s in strides)


def grid_strides(size_wh: tuple[int, int], rows: int) -> tuple[int, ...] | None:
    """Return the strides whose cells make exactly so many rows."""
    return next((s for s in _STRIDES if cells(size_wh, s) == rows), None)


def family_of(
    shape: Shape, size_wh: tuple[int, int], classes: int | None, end2end: bool, name: str
) -> Family:
    """Name the family of a (N, rows, columns) output; raises ModelFileError.

    `classes` is the number of labels where it is known, `end2end` what metadata says.
    """
    _, rows, columns = shape
    if rows is None or columns is None:
        raise _unsupported(shape, size_wh, name, "leaves its output's size open")
    if end2end and columns == 6:
        return Family.END2END
    shaped = [family for family in Family if _fits(family, rows, columns, size_wh)]
    if not shaped and columns == 6 and rows <= _MAX_END2END:
        return Family.END2END
    found = [f for f in shaped if classes in (None, class_count(f, shape))]
    if len(found) == 1:
        return found[0]
    if found:
        raise _unsupported(shape, size_wh, name, f"could be {' or '.join(found)}")
    if shaped:
        counted = " or ".join(f"{f} with {class_count(f, shape)} classes" for f in shaped)
        raise _unsupported(
            shape, size_wh, name, f"looks like {counted}, but {classes} labels are given"
        )
    raise _unsupported(shape, size_wh, name, "is none of the supported heads")


def class_count(family: Family, shape: Shape) -> int | None:
    """Return how many classes a head's output has; None where it doesn't say."""
    _, rows, columns = shape
    match family:
        case Family.YOLOX | Family.YOLOV5:
            return None if columns is None else columns - 5
        case Family.YOLOV8:
            return None if rows is None else rows - 4
        case Family.END2END:
            return None


def _fits(family: Family, rows: int, columns: int, size_wh: tuple[int, int]) -> bool:
    match family:
        case Family.YOLOX:
            return columns >= 6 and grid_strides(size_wh, rows) is not None
        case Family.YOLOV5:
            return columns >= 6 and rows % 3 == 0 and grid_strides(size_wh, rows // 3) is not None
        case Family.YOLOV8:
            return rows >= 5 and grid_strides(size_wh, columns) is not None
        case Family.END2END:
            return False  # any row count will do: asked last


def _unsupported(shape: Shape, size_wh: tuple[int, int], name: str, problem: str) -> ModelFileError:
    a = cells(size_wh, (8, 16, 32))
    found = ", ".join("?" if side is None else str(side) for side in shape)
    return ModelFileError(
        f"{name}: the output [{found}] at input {size_wh[0]}x{size_wh[1]} {problem}. Supported "
        f"there: yolox [N, {a}, 5+C], yolov5 [N, {3 * a}, 5+C], yolov8 [N, 4+C, {a}], end2end "
        '[N, K, 6]. If you know which it is, write {"family": "…"} into the sidecar '
        f"{name.removesuffix('.onnx')}.json."
    )
