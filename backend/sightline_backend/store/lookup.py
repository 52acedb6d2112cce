"""What serves under each name: as the database says it, checked against the files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import select

from sightline_backend.errors import NameTakenError, StoreError
from sightline_backend.models.names import check_name
from sightline_backend.store.adding import Adding, Words
from sightline_backend.store.changes import refuse_reserved, taken
from sightline_backend.store.database import Database
from sightline_backend.store.records import SHIPPED, BrokenModel
from sightline_backend.store.rows import Records, active_rows
from sightline_backend.store.scan import Scan, old_layout
from sightline_backend.store.seen import SeenFiles
from sightline_backend.store.shipped import known_shipped, register_shipped, shipped_version
from sightline_backend.store.tables import ArtefactRow, ModelRow, VersionRow
from sightline_engines.assets import (
    RESERVED,
    SHIPPED_FILES,
    SHIPPED_NAME,
    SHIPPED_PRECISIONS,
    shipped_model,
)
from sightline_engines.errors import ModelFileError
from sightline_engines.types import ModelSpec

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class SetUp:
    """Readies the store at its first use in a process; several processes may do so at once."""

    database: Database
    records: Records
    adding: Adding
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _done: bool = False

    def once(self) -> None:
        """Scan for a database that is new, and see to the shipped model's rows."""
        with self._lock:
            if self._done:
                return
            self.database.open()
            if not self.database.is_read_only:
                known = known_shipped(self.database)
                if not known:
                    self.scan().store()
                specs = self._shipped()
                if not {spec.sha256 for spec in specs} <= known:
                    register_shipped(self.database, specs)
            self._done = True

    def scan(self) -> Scan:
        """Return a scan that is about to begin."""
        return Scan(self.database, self.records.files, self._add)

    def _shipped(self) -> Sequence[ModelSpec]:
        """Return what the package holds, fp32 first, nothing without that; say what it lacks."""
        specs: list[ModelSpec] = []
        try:
            for precision in SHIPPED_FILES:
                specs.append(self.records.recognised.spec(shipped_model(precision)))
        except ModelFileError as error:
            log.warning("%s", error.message)
        return specs

    def _add(self, path: Path, name: str) -> None:
        refuse_reserved(name)
        with self.database.reading() as session:
            asked = select(ModelRow.name).where(ModelRow.folded == name.casefold())
            there = session.scalar(asked)
        if there is not None or name.casefold() == SHIPPED_NAME.casefold():
            raise taken(there or SHIPPED_NAME)
        self.adding.file(path, Words(origin="scan"), name=name)


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """Says what serves; the shipped model does whatever state folder and database are in."""

    database: Database
    records: Records
    set_up: SetUp
    seen: SeenFiles = field(default_factory=SeenFiles)

    def all(self) -> Sequence[ModelSpec | BrokenModel]:
        """Return what serves under each name, or why it can't, the shipped model first."""
        found: list[ModelSpec | BrokenModel] = []
        try:
            found.extend(self._active())
        except StoreError as error:
            found.append(BrokenModel("models", error.message))
        if not any(one.name == SHIPPED_NAME for one in found):
            found.insert(0, self._shipped(SHIPPED_NAME))
        return found

    def lacking(self) -> Sequence[BrokenModel]:
        """Return the files beside the shipped model's own that can't be used, and why."""
        found = [self._shipped(name) for name in sorted(RESERVED)]
        return [one for one in found if isinstance(one, BrokenModel)]

    def one(self, name: str) -> ModelSpec | BrokenModel | None:
        """Return what serves under a name, None for an unknown one; raises StoreError.

        A name of a shipped file's own, such as the INT8 one's, stands for that very file.
        """
        number = 1
        try:
            found = next(iter(self._active(name)), None)
            if found is None and name in SHIPPED_PRECISIONS and self.database.exists:
                number = shipped_version(self.database)
        except StoreError:
            if name not in SHIPPED_PRECISIONS:
                raise
            found = None
        if found is None and name in SHIPPED_PRECISIONS:
            return self._shipped(name, number)
        return found

    def left_over(self) -> Sequence[BrokenModel]:
        """Return the models of an older release that could not be taken over, and why."""
        return [self._left_over(file) for file in old_layout(self.records.files.folder)]

    def _active(self, name: str | None = None) -> Sequence[ModelSpec | BrokenModel]:
        """Ask the database once, for one name or all."""
        if not self.database.exists or (name is not None and not _is_name(name)):
            return []
        self.set_up.once()
        asked = active_rows() if name is None else active_rows().where(ModelRow.name == name)
        with self.database.reading() as session:
            return [
                self._checked((artefact, version, model), engine or "")
                for artefact, version, model, engine in session.execute(asked)
            ]

    def _checked(
        self, row: tuple[ArtefactRow, VersionRow, ModelRow], engine: str
    ) -> ModelSpec | BrokenModel:
        artefact, version, model = row
        try:
            spec = self.records.spec(row, engine)
        except ModelFileError as error:
            if artefact.origin == SHIPPED:  # the INT8 file, maybe: meanwhile fp32 serves
                return self._shipped(SHIPPED_NAME, version.number)
            return BrokenModel(model.name, error.message)
        problem = self.seen.problem(spec)
        return BrokenModel(spec.name, problem) if problem else spec

    def _shipped(self, name: str, version: int = 1) -> ModelSpec | BrokenModel:
        try:
            path = shipped_model(SHIPPED_PRECISIONS[name])
            return replace(self.records.recognised.spec(path), version=str(version))
        except ModelFileError as error:
            return BrokenModel(name, error.message)

    def _left_over(self, file: Path) -> BrokenModel:
        try:
            self.records.recognised.spec(file)
            refuse_reserved(file.stem)
        except NameTakenError as error:
            said = f"{file} stays. {error.message} Here: sightline models add {file} --name NAME"
            return BrokenModel(file.stem, said)
        except ModelFileError as error:
            return BrokenModel(file.stem, error.message)
        return BrokenModel(file.stem, f"{file} is not in the store yet: sightline models scan")


def _is_name(text: str) -> bool:
    try:
        check_name(text)
    except ModelFileError:
        return False
    return True
