"""Labels as YOLO folders have them: one text file a picture. Every line is taken for hostile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from sightline_engines.benchmark.described import read_described
from sightline_engines.benchmark.labelled import (
    Box,
    Dataset,
    DatasetError,
    LabelledPicture,
    class_name,
    complete,
    picture_size,
)
from sightline_engines.errors import PictureError
from sightline_engines.picture import PictureLimits
from sightline_engines.texts import MOST_LABELS, cut

_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_SPLITS = ("val", "test", "train")  # the first that data.yaml names is taken
_MAX_BYTES = 16 * 2**20  # of one label file
_MOST_PLACES = 100  # folders of one split
_SLACK = 1e-3  # by which rounding may carry a coordinate over the edge


def yolo_yaml(folder: Path) -> Path | None:
    """Return the file that describes a YOLO folder, None if there is none."""
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (folder / name).is_file():
            return folder / name
    return None


def read_yolo(folder: Path, name: str, described: Path | None) -> Dataset:
    """Return the pictures of a YOLO folder and their boxes.

    Of a data.yaml's splits the first of val, test, train is read. A picture without a label
    file shows nothing that is to be found. Raises DatasetError naming file and line.
    """
    if described is None:
        classes, places = _class_file(folder), [folder / "images"]
    else:
        data = read_described(_text(described), described.name)
        classes, places = _names(data, described), _places(data, folder, described)
    read = _Read()
    for place in places:
        _read_place(place, _label_folder(place, folder), len(classes), read)
    made = complete(name, "yolo", classes, read.pictures, read.gone)
    return replace(made, notes=tuple(read.notes))


@dataclass(slots=True)
class _Read:
    """What was found so far."""

    pictures: list[LabelledPicture] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    taken: set[Path] = field(default_factory=set)
    twice: int = 0  # pictures in two of the folders
    lines_twice: int = 0
    lines_at: list[str] = field(default_factory=list)  # label files that have such

    @property
    def notes(self) -> list[str]:
        """What is there twice."""
        said = []
        if self.twice:
            said.append(f"Pictures that lie in two of the folders count once: {self.twice}.")
        if self.lines_twice:
            files = ", ".join(self.lines_at[:3]) + (" and others" if self.lines_at[3:] else "")
            said.append(f"Boxes that are there twice count once: {self.lines_twice}, in {files}.")
        return said


def _read_place(place: Path, labels: Path, classes: int, read: _Read) -> None:
    """Add a folder's pictures, and what can't be read, to what was found."""
    inside = place.resolve()
    seen: set[Path] = set()
    for path in sorted(place.rglob("*")):
        if path.suffix.lower() not in _PICTURES or not path.is_file():
            continue
        real = path.resolve()
        if not real.is_relative_to(inside):
            raise DatasetError(f"{path.name} is a link that leads out of the data set's folder.")
        label = labels / path.relative_to(place).with_suffix(".txt")
        seen.add(label)
        if real in read.taken:
            read.twice += 1
            continue
        read.taken.add(real)
        try:
            size_wh = picture_size(path, PictureLimits())
        except (PictureError, OSError) as error:
            read.gone.append(f"{path.name}: {error}")
        else:
            boxes = _boxes(label, size_wh, classes) if label.is_file() else []
            once = tuple(dict.fromkeys(boxes))
            if len(once) < len(boxes):
                read.lines_twice += len(boxes) - len(once)
                read.lines_at.append(label.name)
            read.pictures.append(LabelledPicture(path, size_wh, once))
    for label in sorted(labels.rglob("*.txt")) if labels != place else []:
        if label not in seen and label.name != "classes.txt":
            read.gone.append(f"{label.stem}: It has labels, and isn't there.")


def _label_folder(place: Path, folder: Path) -> Path:
    """Return where a picture folder's labels are: the last images/ of its path is labels/.

    Only below the data set's folder: that may lie in an images/ itself.
    """
    parts = place.relative_to(folder).parts
    for index in reversed(range(len(parts))):
        if parts[index] == "images":
            return folder.joinpath(*parts[:index], "labels", *parts[index + 1 :])
    return place


def _boxes(path: Path, size_wh: tuple[int, int], classes: int) -> list[Box]:
    boxes = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.strip():
            boxes.append(_box(line, size_wh, classes, f"{path.name}, line {number}"))
    return boxes


def _box(line: str, size_wh: tuple[int, int], classes: int, at: str) -> Box:
    """Read "class x y w h", or "class x y x y x y …" of an outline; 0..1 of the picture."""
    try:
        first, *rest = line.split()
        class_id, values = int(first), [float(value) for value in rest]
    except ValueError as error:
        raise DatasetError(f"{at}: {line[:80]!r} isn't a class number and numbers.") from error
    if not 0 <= class_id < classes:
        raise DatasetError(f"{at}: there is no class {first[:20]}; there are 0 to {classes - 1}.")
    if not all(-_SLACK <= value <= 1 + _SLACK for value in values):  # no number passes as NaN
        raise DatasetError(f"{at}: coordinates are from 0 to 1, as shares of the picture.")
    if len(values) == 4:
        x, y, w, h = values
        left, top, right, bottom = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    elif len(values) >= 6 and len(values) % 2 == 0:
        left, right = min(values[::2]), max(values[::2])
        top, bottom = min(values[1::2]), max(values[1::2])
    else:
        raise DatasetError(f"{at}: {len(values)} numbers follow the class; a box has x y w h.")
    width, height = size_wh
    corners = (left * width, top * height, right * width, bottom * height)
    area = max(0.0, right - left) * width * max(0.0, bottom - top) * height
    return Box(corners, class_id, area)


def _class_file(folder: Path) -> list[str]:
    for path in (folder / "classes.txt", folder / "labels" / "classes.txt"):
        if path.is_file():
            return _unique([line.strip() for line in _text(path).splitlines()], path)
    raise DatasetError(
        f"{folder.name} has labels/ and no names for their classes: add a data.yaml or a "
        "classes.txt with one name a line."
    )


def _names(data: dict[str, Any], path: Path) -> list[str]:
    names = data.get("names")
    if isinstance(names, dict):
        if set(names) != set(map(str, range(len(names)))):
            raise DatasetError(f"{path.name}: the numbers of `names` must run from 0 without gaps.")
        names = [names[str(number)] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DatasetError(f"{path.name}: `names` must list the classes.")
    if not all(isinstance(name, str) for name in names):
        raise DatasetError(f"{path.name}: each of `names` must be one text.")
    return _unique(names, path)


def _unique(names: list[str], path: Path) -> list[str]:
    while names and not names[-1]:
        names.pop()
    names = [class_name(name, path.name) for name in names[: MOST_LABELS + 1]]
    if len(names) > MOST_LABELS:
        raise DatasetError(f"{path.name} names more than {MOST_LABELS} classes.")
    if not names or not all(names) or len(set(names)) < len(names):
        raise DatasetError(f"{path.name}: each class needs a name, and one of its own.")
    return names


def _places(data: dict[str, Any], folder: Path, path: Path) -> list[Path]:
    """Return the picture folders of the first split that is named."""
    for split in _SPLITS:
        value = data.get(split)
        if value:
            named: Sequence[object] = value if isinstance(value, list) else [value]
            if len(named) > _MOST_PLACES:
                raise DatasetError(f"{path.name}: {split} names more than {_MOST_PLACES} folders.")
            return [
                _place(text, folder, data.get("path"), f"{path.name}: {split}") for text in named
            ]
    raise DatasetError(f"{path.name} names none of {', '.join(_SPLITS)}: which pictures?")


def _place(text: object, folder: Path, below: object, at: str) -> Path:
    """Return a folder below the data set's; its own `path` is read as that is often written."""
    if not isinstance(text, str):
        raise DatasetError(f"{at} must be a folder of pictures.")
    # Roboflow writes ../valid/images for what lies in valid/images.
    inside = PurePosixPath(text.removeprefix("../"))
    if inside.is_absolute() or ".." in inside.parts:
        raise DatasetError(f"{at} leads out of the data set's folder: {cut(text, 200)}.")
    bases = [folder]
    if isinstance(below, str) and not PurePosixPath(below).is_absolute():
        bases.insert(0, folder / below)
    root = folder.resolve()
    for base in bases:
        place = base / inside
        if place.is_dir() and place.resolve().is_relative_to(root):
            return place / "images" if (place / "images").is_dir() else place
    raise DatasetError(f"{at} says {cut(text, 200)}, which is no folder below {folder.name}.")


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DatasetError(f"{path.name} is larger than {_MAX_BYTES // 2**20} MiB.")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path.name} can't be read: {error}.") from error
