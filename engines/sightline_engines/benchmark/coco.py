"""Labels as COCO's JSON has them. Every value is taken for hostile."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

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
from sightline_engines.texts import MOST_LABELS, cut, plain

MAX_BYTES = 2**30  # of the JSON; reading takes ten times as much memory
_BYTES_A_LIST = 8  # or object, at the least: brackets with little in them take the most memory
_FEW_LISTS = 200_000
_MOST_NAME = 1000  # characters of a picture's path
_MAX_SIDE = 100_000  # pixels; of coordinates


def find_coco(folder: Path) -> Path | None:
    """Return the JSON of a COCO folder, None if it has none; raises DatasetError for several."""
    for place in (folder / "annotations", folder):
        found = sorted(place.glob("*.json")) if place.is_dir() else []
        for pattern in ("*", "instances*", "instances_val*"):
            fitting = [path for path in found if path.match(f"{pattern}.json")]
            if len(fitting) == 1:
                return fitting[0]
        if found:
            names = ", ".join(path.name for path in found)
            raise DatasetError(
                f"{folder.name} has several label files: {names}. Name the one to use."
            )
    return None


def read_coco(path: Path, name: str, max_bytes: int = MAX_BYTES) -> Dataset:
    """Return what a COCO JSON describes; its pictures lie beside it, or in images/.

    Raises DatasetError naming the file and the entry.
    """
    data = _document(path, max_bytes)
    rows = {key: _rows(data, key, path) for key in ("categories", "images", "annotations")}
    names, number_of = _classes(rows["categories"], path)
    boxes = _boxes(rows["annotations"], number_of, path)
    folders = _picture_folders(path)
    pictures, gone, seen = [], [], set()
    taken: set[Path] = set()
    twice = 0
    for at, row in _numbered(rows["images"], "images", path):
        number, file_name = row.get("id"), row.get("file_name")
        if not isinstance(number, int) or number in seen:
            raise DatasetError(f"{at}: id must be a whole number that no other picture has.")
        seen.add(number)
        try:
            file = _located(file_name, folders, at)
            size_wh = picture_size(file, PictureLimits())
            _check_size(row, size_wh)
        except (PictureError, OSError) as error:
            gone.append(cut(f"{file_name}: {error}", 300))
            boxes.pop(number, None)
        else:
            found = tuple(boxes.pop(number, ()))
            if file in taken:
                twice += 1
                continue
            taken.add(file)
            pictures.append((number, LabelledPicture(file, size_wh, found)))
    if boxes:
        raise DatasetError(
            f"{path.name}: annotations are of picture {next(iter(boxes))}, which isn't in images."
        )
    in_order = [picture for _, picture in sorted(pictures, key=lambda pair: pair[0])]
    notes = (f"Pictures that are listed twice count once, as the first: {twice}.",)
    return replace(complete(name, "coco", names, in_order, gone), notes=notes[: bool(twice)])


def _document(path: Path, max_bytes: int) -> dict[str, Any]:
    try:
        if path.stat().st_size > max_bytes:
            raise DatasetError(f"{path.name} is larger than {max_bytes // 2**20} MiB.")
        content = path.read_bytes()
        lists = content.count(b"[") + content.count(b"{")
        if lists > max(_FEW_LISTS, len(content) // _BYTES_A_LIST):
            raise DatasetError(f"{path.name} holds {lists} lists and objects with little in them.")
        data = json.loads(content)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path.name}, line {error.lineno}: {error.msg}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path.name} can't be read: {cut(str(error), 200)}.") from error
    if not isinstance(data, dict):
        raise DatasetError(f"{path.name} must hold one JSON object.")
    return data


def _rows(data: dict[str, Any], key: str, path: Path) -> list[Any]:
    rows = data.get(key)
    if not isinstance(rows, list):
        raise DatasetError(f"{path.name} has no list '{key}': it isn't COCO's instances format.")
    return rows


def _numbered(rows: list[Any], key: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each entry with the place that a message names."""
    for index, row in enumerate(rows):
        at = f"{path.name}, {key}[{index}]"
        if not isinstance(row, dict):
            raise DatasetError(f"{at} must be an object.")
        yield at, row


def _classes(rows: list[Any], path: Path) -> tuple[list[str], dict[int, int]]:
    """Return the names in the order of their ids, and the index of each id."""
    found: dict[int, str] = {}
    names: set[str] = set()
    if len(rows) > MOST_LABELS:
        raise DatasetError(f"{path.name} has more than {MOST_LABELS} categories.")
    for at, row in _numbered(rows, "categories", path):
        number, name = row.get("id"), row.get("name")
        name = class_name(name, at) if isinstance(name, str) else ""
        if not isinstance(number, int) or not name:
            raise DatasetError(f"{at} needs an id, a whole number, and a name.")
        if number in found or name in names:
            raise DatasetError(f"{at}: there is another category {str(number)[:20]} or '{name}'.")
        found[number] = name
        names.add(name)
    ids = sorted(found)
    return [found[number] for number in ids], {number: i for i, number in enumerate(ids)}


def _boxes(rows: list[Any], number_of: dict[int, int], path: Path) -> dict[int, list[Box]]:
    boxes: dict[int, list[Box]] = defaultdict(list)
    for at, row in _numbered(rows, "annotations", path):
        picture, category = row.get("image_id"), row.get("category_id")
        if not isinstance(picture, int):
            raise DatasetError(f"{at}: image_id must be a whole number.")
        if not isinstance(category, int) or category not in number_of:
            raise DatasetError(f"{at}: category_id {cut(repr(category), 80)} is in no category.")
        bbox = row.get("bbox")
        if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_length, bbox)):
            raise DatasetError(f"{at}: bbox must be [x, y, width, height] in pixels.")
        x, y, width, height = map(float, bbox)
        if width < 0 or height < 0:
            raise DatasetError(f"{at}: the box is {width:g} wide and {height:g} high.")
        area = row.get("area", width * height)
        if not _is_length(area, _MAX_SIDE**2):
            raise DatasetError(f"{at}: area must be a number of square pixels.")
        corners = (x, y, x + width, y + height)
        boxes[picture].append(
            Box(corners, number_of[category], float(area), bool(row.get("iscrowd")))
        )
    return boxes


def _is_length(value: object, most: float = _MAX_SIDE) -> bool:
    """Tell whether it is a number up to `most`; NaN isn't, and one of any length may come."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= most


def _picture_folders(path: Path) -> list[Path]:
    """Return where pictures may lie: images/, images/val2017, val2017, beside the JSON."""
    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    part = path.stem.rpartition("_")[2]
    places = [root / "images", root / "images" / part, root / part, root]
    return [place.resolve() for place in places if place.is_dir()]


def _located(file_name: object, folders: list[Path], at: str) -> Path:
    """Return a picture's file; raises DatasetError for a path that leaves its folder."""
    if not isinstance(file_name, str) or not file_name or "\0" in file_name:
        raise DatasetError(f"{at}: file_name must be text.")
    if plain(file_name, _MOST_NAME) is None:
        raise PictureError("That is no file's name.")
    inside = PurePosixPath(file_name.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
        raise DatasetError(f"{at}: file_name {file_name!r} leads out of the data set's folder.")
    for folder in folders:
        file = (folder / inside).resolve()
        if not file.is_relative_to(folder):
            raise DatasetError(f"{at}: file_name {file_name!r} leads out of the data set's folder.")
        if file.is_file():
            return file
    raise PictureError("It isn't there.")


def _check_size(row: dict[str, Any], size_wh: tuple[int, int]) -> None:
    said = (row.get("width", size_wh[0]), row.get("height", size_wh[1]))
    if said != size_wh:
        raise PictureError(
            f"The labels are of {said[0]}x{said[1]} pixels, upright it has "
            f"{size_wh[0]}x{size_wh[1]}."
        )
