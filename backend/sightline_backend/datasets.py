"""Labelled data sets by name: those that were uploaded, and folders below the data folder."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import structlog

from sightline_backend.errors import (
    InUseError,
    NameTakenError,
    NotPossibleError,
    StoreError,
    UnknownError,
)
from sightline_backend.models.names import check_name
from sightline_backend.store.files import SETTLED_S
from sightline_backend.store.locks import in_use, unused
from sightline_backend.store.store import Store
from sightline_engines.archive import ArchiveLimits
from sightline_engines.benchmark.dataset import Dataset, DatasetError, looks_labelled, read_dataset
from sightline_engines.errors import ModelFileError
from sightline_engines.examine.dataset import NO_ABOUT, checked_about, examine_dataset

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

FOLDER = "dir:"  # before the name of what lies below the data folder
_MOST_FILES = 500_000
_ABOUT = ".sightline-about"  # in a data set's folder: what its row says, should that be lost
_REMOVED = ".removed-"  # before the name of a data set's folder that is to be deleted


class DatasetTooLargeError(DatasetError):
    """An upload is larger than the server takes."""

    code: ClassVar[str] = "too_large"


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A data set as lists show it."""

    name: str  # "people", or "dir:people" of a folder
    kind: Literal["stored", "folder"]
    about: dict[str, Any]  # format, pictures, boxes, classes, missing, sha256; of folders nothing


def list_datasets(store: Store, data_dir: Path | None) -> list[DatasetEntry]:
    """Return every data set that can be named; reads no label and no picture."""
    entries = [DatasetEntry(one.name, "stored", one.about) for one in store.datasets.list()]
    if data_dir is not None and data_dir.is_dir():
        entries += [
            DatasetEntry(FOLDER + folder.name, "folder", {})
            for folder in sorted(data_dir.iterdir())
            if not folder.name.startswith(".") and folder.is_dir() and looks_labelled(folder)
        ]
    return entries


def find_dataset(store: Store, data_dir: Path | None, name: str) -> Dataset:
    """Return a data set by its name, read and checked.

    Nothing outside the data folder can be named. Raises UnknownError or DatasetError.
    """
    return read_dataset(place_of(store, data_dir, name), name)


def place_of(store: Store, data_dir: Path | None, name: str) -> Path:
    """Return where a data set lies, without looking into it; raises UnknownError."""
    if not name.startswith(FOLDER):
        return store.datasets.find(name).path
    if data_dir is None:
        raise UnknownError(
            f"{name[:80]!r} names a folder of the server's, and none is set up: set "
            "SIGHTLINE_DATA_DIR, or upload the data set."
        )
    root = data_dir.resolve()
    place = (root / name.removeprefix(FOLDER).replace("\0", "?")).resolve()
    if place == root or not place.is_relative_to(root) or not place.exists():
        known = ", ".join(entry.name for entry in list_datasets(store, data_dir)) or "none"
        raise UnknownError(f"There is no data set {name[:80]!r} here; there are {known}.")
    return place


@contextmanager
def dataset_in_use(store: Store, name: str | None) -> Iterator[None]:
    """Keep an uploaded data set from being deleted during the block; None: there is none.

    Raises UnknownError. What lies below the data folder is its owner's to keep.
    """
    if name is None or name.startswith(FOLDER):
        yield
        return
    path = store.datasets.find(name).path
    with ExitStack() as held:
        try:
            held.enter_context(in_use(path))
        except FileNotFoundError as error:
            raise UnknownError(f"The files of the data set {name} are gone: {path}.") from error
        yield


def refuse_taken(store: Store, name: str) -> str:
    """Return a name that a new data set may have; raises NameTakenError, DatasetError."""
    try:
        check_name(name)
    except ModelFileError as error:
        raise DatasetError(error.message.replace("model's", "data set's")) from error
    if any(one.name.casefold() == name.casefold() for one in store.datasets.list()):
        raise NameTakenError(
            f"There is a data set {name} already. Give another name, or remove that one first."
        )
    return name


def add_dataset(store: Store, name: str, archive: Path, max_bytes: int) -> DatasetEntry:
    """Unpack and check a zip and keep it under a name; visible only once it is whole.

    A child process unpacks and reads it. `archive` lies in a folder of `store.models.incoming`.
    Raises NameTakenError or DatasetError, OSError for want of room.
    """
    name = refuse_taken(store, name)
    limits = ArchiveLimits(members=_MOST_FILES, total_bytes=max_bytes)
    found = examine_dataset(archive, name, limits, archive.parent / "examined")
    about = found.folder / _ABOUT
    if about.is_dir() and not about.is_symlink():
        raise DatasetError(f"The zip holds a folder {_ABOUT}, a name that is taken. Rename it.")
    about.unlink(missing_ok=True)  # the zip's own
    with about.open("x", encoding="utf-8") as file:
        json.dump({"name": name, "about": found.about}, file)
    # Never the bare name: two uploads of one name at once must not share a folder.
    target = store.datasets_folder / f"{name}-{secrets.token_hex(4)}"
    store.datasets_folder.mkdir(parents=True, exist_ok=True)
    try:
        with in_use(found.folder):  # what is held is nobody's left-over
            found.folder.rename(target)
            store.datasets.add(name, target, found.about)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return DatasetEntry(name, "stored", found.about)


def remove_dataset(store: Store, name: str) -> None:
    """Delete an uploaded data set.

    Raises UnknownError, InUseError while a job reads it, NotPossibleError for a folder.
    """
    if name.startswith(FOLDER):
        raise NotPossibleError(f"{name[:80]} lies below SIGHTLINE_DATA_DIR: delete it there.")
    path = store.datasets.find(name).path
    try:
        with unused(path):
            removed = path.with_name(_REMOVED + path.name)
            if path.exists():
                path.rename(removed)  # from here on it isn't brought back
            store.datasets.remove(name)
            if removed.exists():
                shutil.rmtree(removed)
    except OSError as error:
        raise StoreError(
            f"Not all files of the data set {name} could be deleted: {error.strerror or error}. "
            f"They are in {path.parent}; the next scan tries again."
        ) from error


def mend_datasets(store: Store) -> None:
    """Bring back whole data sets that the database lost; delete what was being removed.

    Folders that no row names, that nobody holds and that are older than a moment are looked at.
    Nothing else is deleted: what Sightline didn't write is somebody's.
    """
    for folder in sorted(store.datasets_folder.glob("*")):
        with suppress(InUseError, UnknownError, OSError):
            if folder.name.startswith(_REMOVED):
                with unused(folder):
                    _finish_removal(store, folder)
            elif time.time() - folder.stat().st_mtime > SETTLED_S:
                with unused(folder):
                    if folder.name not in {one.path.name for one in store.datasets.list()}:
                        _bring_back(store, folder)


def _finish_removal(store: Store, folder: Path) -> None:
    log.info("deleting what was left of a removed data set", folder=str(folder))
    for one in store.datasets.list():
        if one.path.name == folder.name.removeprefix(_REMOVED):
            store.datasets.remove(one.name)
    shutil.rmtree(folder)


def _bring_back(store: Store, folder: Path) -> None:
    try:
        said = json.loads((folder / _ABOUT).read_bytes())
        name, about = refuse_taken(store, said["name"]), checked_about(said["about"])
        store.datasets.add(name, folder, about)
    except FileNotFoundError:
        log.info("a folder among the data sets is none of them, and is left", folder=str(folder))
    except (NameTakenError, DatasetError, RecursionError, *NO_ABOUT) as error:
        why = str(error)
        log.warning("a data set can't be brought back, and is left", folder=str(folder), reason=why)
    else:
        log.info("a data set is brought back", name=name, folder=str(folder))
