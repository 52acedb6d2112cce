"""What an uploaded data set holds, unpacked and read in a child process."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sightline_engines.archive import ArchiveLimits
from sightline_engines.benchmark.labelled import DatasetError
from sightline_engines.examine.answer import Unreadable
from sightline_engines.examine.walled import look
from sightline_engines.sandbox.plan import Limits
from sightline_engines.texts import LABEL_CHARS, MOST_LABELS, cut, plain

_TASK = "sightline_engines.examine.dataset_child"
_MEMORY_BYTES = 3 * 2**30  # of address space; the largest label file needs about half
_FOLDERS = 100_000  # that the files may lie in
_REASON_CHARS = 300
_MOST_MISSING = 20
NO_ABOUT = (AttributeError, KeyError, OverflowError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Examined:
    """A data set that is whole, and where it lies."""

    folder: Path
    about: dict[str, Any]  # format, pictures, boxes, classes, missing, sha256


def examine_dataset(archive: Path, name: str, limits: ArchiveLimits, scratch: Path) -> Examined:
    """Unpack a zip into a new folder and read the labels; this process opens nothing of it.

    Blocks. `scratch` doesn't exist yet, and holds the files afterwards. Raises DatasetError,
    OSError.
    """
    child = Limits(
        _MEMORY_BYTES,
        cpu_s=600,
        wall_s=900,
        disk_bytes=2 * limits.total_bytes + 2 * 2**30,  # a file takes whole blocks
        files=limits.members + _FOLDERS,
    )
    arguments = {
        "archive": str(archive.resolve()),
        "name": name,
        "limits": asdict(limits),
        "scratch": str(scratch.resolve()),
    }
    try:
        found = look(_TASK, arguments, scratch, (archive,), child)
    except Unreadable as error:
        raise DatasetError(error.message) from error
    try:
        return Examined(_top(found, scratch), checked_about(found["about"]))
    except (OSError, *NO_ABOUT) as error:
        raise DatasetError(f"The data set could not be read: {cut(str(error), 200)}.") from error


def _top(found: dict[str, Any], scratch: Path) -> Path:
    inside = PurePosixPath(found["top"])
    top = scratch / inside
    if inside.is_absolute() or ".." in inside.parts or not top.is_dir():
        raise ValueError("it has no folder")
    if top.resolve() != scratch.resolve() / inside:  # by a link that the child left
        raise ValueError("its folder is a link")
    return top


def checked_about(about: dict[str, Any]) -> dict[str, Any]:
    """Return only what it should hold: the child may be taken by what it read.

    Raises one of `NO_ABOUT`.
    """
    classes = [plain(name, LABEL_CHARS) for name in about["classes"][: MOST_LABELS + 1]]
    if not classes or None in classes or len(classes) > MOST_LABELS:
        raise ValueError("its classes can't be shown")
    if not re.fullmatch("[0-9a-f]{64}", about["sha256"]) or about["format"] not in ("coco", "yolo"):
        raise ValueError("it is of no known kind")
    return {
        "format": about["format"],
        "pictures": int(about["pictures"]),
        "boxes": int(about["boxes"]),
        "classes": classes,
        "missing": [cut(why, _REASON_CHARS) for why in about["missing"][:_MOST_MISSING]],
        "sha256": about["sha256"],
    }
