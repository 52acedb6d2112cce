"""A labelled data set on the disk: COCO JSON or YOLO folders."""

from __future__ import annotations

from pathlib import Path

from sightline_engines.benchmark.coco import MAX_BYTES, find_coco, read_coco
from sightline_engines.benchmark.labelled import Box, Dataset, DatasetError, LabelledPicture
from sightline_engines.benchmark.yolo import read_yolo, yolo_yaml
from sightline_engines.texts import cut

__all__ = [
    "Box",
    "Dataset",
    "DatasetError",
    "LabelledPicture",
    "looks_labelled",
    "read_dataset",
]

_MESSAGE_CHARS = 1000


def read_dataset(
    folder: Path, name: str | None = None, *, max_label_bytes: int = MAX_BYTES
) -> Dataset:
    """Return a data set; `folder` may be a COCO JSON or a YOLO data.yaml, too.

    No path in the labels leads out of the folder. Raises DatasetError naming file and place.
    """
    try:
        return _read(folder, name or folder.stem or folder.resolve().name, max_label_bytes)
    except DatasetError as error:
        raise DatasetError(cut(error.message, _MESSAGE_CHARS)) from error
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        # Labels that their reader didn't foresee: nobody's fault but the file's.
        what = (error.strerror if isinstance(error, OSError) else None) or str(error)
        said = cut(f"{type(error).__name__}: {what}", 200)
        raise DatasetError(f"The labels of {folder.name} can't be read: {said}.") from error


def _read(folder: Path, name: str, max_label_bytes: int) -> Dataset:
    if folder.is_file():
        match folder.suffix.lower():
            case ".json":
                return read_coco(folder, name, max_label_bytes)
            case ".yaml" | ".yml":
                return read_yolo(folder.parent, name, folder)
        raise DatasetError(f"{folder.name} is no data set: {_WANTED}.")
    if not folder.is_dir():
        raise DatasetError(f"There is no data set at {folder}.")
    described = yolo_yaml(folder)
    if described is not None:
        return read_yolo(folder, name, described)
    annotations = find_coco(folder)
    if annotations is not None:
        return read_coco(annotations, name, max_label_bytes)
    if (folder / "labels").is_dir():
        return read_yolo(folder, name, None)
    raise DatasetError(f"{name} holds no labels: {_WANTED}.")


def looks_labelled(folder: Path) -> bool:
    """Tell whether a folder may be a data set, without reading it."""
    if yolo_yaml(folder) is not None or (folder / "labels").is_dir():
        return True
    try:
        return find_coco(folder) is not None
    except DatasetError:  # several label files: one of them can be named
        return True


_WANTED = (
    "wanted are COCO's annotations/instances.json with its pictures in images/, or YOLO's "
    "images/ and labels/ with a data.yaml or classes.txt"
)
