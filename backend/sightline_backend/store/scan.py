"""Bring database and folder together again: lost rows, lost files, leftovers, an older layout."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from sightline_backend.errors import InUseError, NameTakenError
from sightline_backend.models.names import check_name, name_from
from sightline_backend.store.about import About, link, read_about, restore, write_about
from sightline_backend.store.database import Database
from sightline_backend.store.files import SETTLED_S, Files, is_whole
from sightline_backend.store.locks import locked, unused
from sightline_backend.store.records import SHIPPED, BrokenModel, ScanReport
from sightline_backend.store.rows import rows_of
from sightline_backend.store.tables import ArtefactRow
from sightline_engines.errors import ModelFileError
from sightline_engines.types import Format, format_of

Add = Callable[[Path, str], None]  # a file and what to call it


def old_layout(folder: Path) -> Sequence[Path]:
    """Return the models that lie as an older release kept them: NAME/NAME.onnx."""
    return sorted(f for f in folder.glob("[!.]*/*.onnx") if f.stem == f.parent.name)


@dataclass(slots=True, eq=False)
class Scan:
    """One scan and what it has found so far."""

    database: Database
    files: Files
    add: Add
    added: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    broken: list[BrokenModel] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)

    def store(self) -> ScanReport:
        """Go through the store's own folder."""
        self.take_over()
        self._restore()
        self._check()
        self.orphaned += self.files.sweep()
        self._sweep()
        return self._report()

    def take_over(self) -> None:
        """Bring what an older release kept into today's layout."""
        for file in old_layout(self.files.folder):
            if self._take(file):
                shutil.rmtree(file.parent, ignore_errors=True)

    def folder(self, folder: Path) -> ScanReport:
        """Add the ONNX files of another folder, which stays as it is."""
        if not folder.is_dir():
            raise ModelFileError(f"{folder} is no folder; name one that holds ONNX files.")
        for file in sorted(folder.rglob("*.onnx")):
            if not any(part.startswith(".") for part in file.relative_to(folder).parts):
                self._take(file)
        return self._report()

    def _take(self, file: Path) -> bool:
        """Add a file under its own name unless it is there; tell whether it is there now."""
        name = name_from(file.stem)
        with suppress(ModelFileError):
            name = check_name(file.stem)
        try:
            self.add(file, name)
        except NameTakenError as error:
            if self._is_there(file, name):
                return True
            self.broken.append(BrokenModel(str(file), error.message))
            return False
        except ModelFileError as error:
            self.broken.append(BrokenModel(str(file), error.message))
            return False
        self.added.append(name)
        return True

    def _is_there(self, file: Path, name: str) -> bool:
        with self.database.reading() as session:
            asked = select(ArtefactRow).where(ArtefactRow.format == Format.ONNX)
            return any(
                row.version.model.folded == name.casefold() and is_whole(file, row.sha256)
                for row in session.scalars(asked)
            )

    def _restore(self) -> None:
        """Make rows again for whole files that say what they are."""
        found = list(self._unknown())
        for sha256, about in found:
            try:
                with self.database.session() as session:
                    if restore(session, sha256, about):
                        first = about.version == 1 and about.model not in self.added
                        label = about.model if first else f"{about.model}:{about.version}"
                        if label not in self.added:
                            self.added.append(label)
            except (IntegrityError, ModelFileError, KeyError, TypeError, ValueError) as error:
                self.broken.append(BrokenModel(about.model, f"Its record makes no sense: {error}."))
        for sha256, about in found:
            with self.database.session() as session:
                link(session, sha256, about)

    def _unknown(self) -> Iterator[tuple[str, About]]:
        for sha256, path in self.files.all():
            # A plan's word may be a stranger's; its ONNX makes another.
            if format_of(path) in (None, Format.TENSORRT):
                continue
            with self.database.reading() as session:
                if rows_of(session, sha256):  # the database knows better, of names above all
                    continue
            for about in read_about(self.files, sha256):
                if is_whole(path, sha256):
                    yield sha256, about
                else:
                    self.broken.append(BrokenModel(about.model, f"{path} is damaged."))

    def _check(self) -> None:
        """Name rows without a whole file, and say again beside each file what it is."""
        with self.database.reading() as session:
            rows = [
                (row.sha256, Format(row.format), row.version.model.name, row.version.number)
                for row in session.scalars(select(ArtefactRow).where(ArtefactRow.origin != SHIPPED))
            ]
        for sha256, kind, name, number in rows:
            path = self.files.path(sha256, kind)
            if not path.exists():
                self.missing.append(f"{name}:{number} {kind} {path}")
            elif not is_whole(path, sha256):
                self.broken.append(BrokenModel(f"{name}:{number}", f"{path} is damaged."))
        there = {sha256 for sha256, kind, *_ in rows if self.files.path(sha256, kind).exists()}
        write_about(self.database, self.files, there)

    def _sweep(self) -> None:
        """Delete files that no row names and nobody is adding at this moment."""
        for sha256, path in self.files.all():
            with (
                suppress(InUseError, FileNotFoundError),
                locked(self.files.folder),  # nobody has placed one file of two
                unused(_locked_file(path)),
            ):
                with self.database.reading() as session:
                    named = bool(rows_of(session, sha256))
                half = path.suffix == ".part" and time.time() - path.stat().st_mtime > SETTLED_S
                if half or not named:
                    path.unlink()
                    self.orphaned.append(path.name)

    def _report(self) -> ScanReport:
        return ScanReport(
            tuple(self.added), tuple(self.missing), tuple(self.broken), tuple(self.orphaned)
        )


def _locked_file(path: Path) -> Path:
    """Return the file that is locked for the sake of another: model.xml for model.bin."""
    beside = path.parent.glob(f"{path.name.split('.')[0]}.*")
    return next((file for file in beside if format_of(file) is not None), path)
