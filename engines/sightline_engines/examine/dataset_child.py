"""The child's part: unpack a zip, find the labels in it and read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightline_engines.archive import ArchiveLimits, unpack
from sightline_engines.benchmark.dataset import DatasetError, looks_labelled, read_dataset
from sightline_engines.examine.answer import answer
from sightline_engines.progress import Progress

_MAX_LABEL_BYTES = 128 * 2**20  # of an upload's JSON; twice COCO's largest that is for validation
_IGNORED = frozenset({"__MACOSX"})


def run(arguments: dict[str, Any], tell: Progress) -> None:
    """Unpack `archive` below `scratch` and write what is in it beside that."""
    tell(0.0, "Unpacking")
    scratch = Path(arguments["scratch"])
    archive, limits = Path(arguments["archive"]), ArchiveLimits(**arguments["limits"])
    answer(scratch, lambda: _found(archive, limits, scratch, arguments["name"]))


def _found(archive: Path, limits: ArchiveLimits, scratch: Path, name: str) -> dict[str, Any]:
    folder = scratch / "files"
    unpack(archive, folder, limits)
    top = _top(folder)
    dataset = read_dataset(top, name, max_label_bytes=_MAX_LABEL_BYTES)
    about = {
        "format": dataset.format,
        "pictures": len(dataset.pictures),
        "boxes": dataset.boxes,
        "classes": list(dataset.classes),
        "missing": list(dataset.missing[:20]),
        "sha256": dataset.sha256,
    }
    return {"top": top.relative_to(scratch).as_posix(), "about": about}


def _top(folder: Path) -> Path:
    """Return where the labels begin: many zips hold one folder that holds everything."""
    entries = [entry for entry in folder.iterdir() if entry.name not in _IGNORED]
    if len(entries) == 1 and entries[0].is_dir() and not looks_labelled(folder):
        return _top(entries[0])
    if not entries:
        raise DatasetError("The zip holds no files.")
    return folder
