"""The models of this machine: the one that ships, then those in the user's folder.

FOLDER/
    yolox-nano/yolox-nano.onnx    one folder a model, moved into place when complete
               yolox-nano.json    its sidecar: licence, labels, hash and all else
    .incoming-…                   a model being added; left only by a crash
    .partial/                     downloads that can be resumed
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sightline_backend.models.catalogue import CATALOGUE
from sightline_backend.models.names import check_name, name_from
from sightline_backend.models.recognised import RecognisedFiles
from sightline_engines.assets import SHIPPED_NAME, shipped_model
from sightline_engines.errors import ModelFileError
from sightline_engines.recognise import recognise
from sightline_engines.sidecar import write_sidecar
from sightline_engines.types import ModelSpec


@dataclass(frozen=True, slots=True)
class BrokenModel:
    """A model of the folder that can't be read, and why."""

    name: str
    problem: str


class ModelStore:
    """Finds, adds and removes models; `folder` need not exist yet.

    Calls read files and block. Several processes may use one folder at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = RecognisedFiles()

    def list(self) -> Sequence[ModelSpec]:
        """Return the models that can be used, the shipped one first; broken ones are left out."""
        return self._scan()[0]

    def broken(self) -> Sequence[BrokenModel]:
        """Return the models that can't be used."""
        return self._scan()[1]

    def find(self, name_or_path: str) -> ModelSpec:
        """Return a model by its name, or any ONNX file by its path.

        Raises ModelFileError, listing the names there are.
        """
        if name_or_path == SHIPPED_NAME:
            return self._files.spec(shipped_model())
        file = self._file(name_or_path)
        if file is not None and file.is_file():
            return self._files.spec(file)
        path = Path(name_or_path).expanduser()
        if os.sep in name_or_path or path.suffix.lower() in (".onnx", ".pt"):
            return self._files.spec(path)  # a .pt gets the sentence on how to export it
        raise _unknown(name_or_path, [spec.name for spec in self.list()])

    def add(
        self,
        path: Path,
        name: str | None = None,
        *,
        licence: str | None = None,
        source: str | None = None,
    ) -> ModelSpec:
        """Copy a model file into the folder, whole or not at all, and return it as stored.

        Raises ModelFileError for a file that isn't supported and for a name that is taken.
        """
        spec = recognise(path)
        name = check_name(name) if name else name_from(path.stem)
        self.refuse_taken(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".incoming-", dir=self.folder) as incoming:
            staged = Path(incoming) / name
            staged.mkdir()
            copy = staged / f"{name}.onnx"
            if _copy(path, copy) != spec.sha256:
                raise ModelFileError(f"{path} changed while it was read. Add it again.")
            spec = replace(
                spec,
                name=name,
                path=copy,
                licence=licence or spec.licence,
                source=source or spec.source or path.name,
            )
            _sync(write_sidecar(spec))
            _sync(staged)
            try:
                staged.rename(self.folder / name)
            except OSError as error:  # another process was faster
                self.refuse_taken(name)
                raise ModelFileError(f"{self.folder} can't be written: {error}.") from error
        _sync(self.folder)
        return replace(spec, path=self.folder / name / copy.name)

    def remove(self, name: str) -> None:
        """Delete a model of the folder; raises ModelFileError for the shipped or an unknown one."""
        if name == SHIPPED_NAME:
            raise ModelFileError(f"{name} ships with Sightline and stays.")
        file = self._file(name)
        if file is None or not file.parent.is_dir():
            raise _unknown(name, [s.name for s in self.list() if s.name != SHIPPED_NAME])
        with TemporaryDirectory(prefix=".incoming-", dir=self.folder) as outgoing:
            file.parent.rename(Path(outgoing) / name)  # gone at once, also for other processes

    def _scan(self) -> tuple[Sequence[ModelSpec], Sequence[BrokenModel]]:
        found = [self._read(name) for name in (SHIPPED_NAME, *self._names())]
        return (
            [one for one in found if isinstance(one, ModelSpec)],
            [one for one in found if isinstance(one, BrokenModel)],
        )

    def _read(self, name: str) -> ModelSpec | BrokenModel:
        try:
            file = shipped_model() if name == SHIPPED_NAME else self._file(name)
            if file is None:
                return BrokenModel(name, "Its folder's name is odd.")
            return self._files.spec(file)
        except ModelFileError as error:
            return BrokenModel(name, error.message)

    def _names(self) -> Sequence[str]:
        if not self.folder.is_dir():
            return []
        return sorted(p.name for p in self.folder.iterdir() if p.is_dir() and p.name[0] != ".")

    def _file(self, name: str) -> Path | None:
        """Return where a model of that name lies; None for what can't be a name."""
        try:
            return self.folder / check_name(name) / f"{name}.onnx"
        except ModelFileError:
            return None

    def refuse_taken(self, name: str) -> None:
        """Names that differ in case alone are one folder on some systems."""
        for taken in (SHIPPED_NAME, *self._names()):
            if taken.casefold() == name.casefold():
                raise ModelFileError(
                    f"There is a model {taken} already. Give another name (--name), or remove "
                    f"that one first: sightline models remove {taken}"
                )


def _copy(source: Path, target: Path) -> str:
    """Copy a file onto the disk and return the SHA-256 of what was copied."""
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 2**20)
        writer.flush()
        os.fsync(writer.fileno())
    with target.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Have the disk hold a file or folder before what follows."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unknown(name: str, known: Sequence[str]) -> ModelFileError:
    message = f"There is no model {name[:80]!r} here; there are {', '.join(known) or 'none'}."
    if any(entry.name == name for entry in CATALOGUE):
        return ModelFileError(f"{message} Fetch it with: sightline models pull {name}")
    return ModelFileError(f"{message} Your own file is added with: sightline models add FILE.onnx")
