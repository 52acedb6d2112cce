"""How a file gets into the store: its content first, whole, and then the rows that name it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from sightline_backend.errors import InUseError, NameTakenError, StoreError
from sightline_backend.store.about import write_about
from sightline_backend.store.database import Database
from sightline_backend.store.files import Files, size_of
from sightline_backend.store.locks import unused
from sightline_backend.store.rows import rows_of
from sightline_backend.store.tables import ArtefactRow
from sightline_engines.types import Format


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file that is to become an artefact."""

    path: Path
    sha256: str
    format: Format
    precision: str
    spec: dict[str, Any]  # {} for a checkpoint
    origin: str
    made_from_id: int | None = None
    passport: dict[str, Any] | None = None
    parity: dict[str, Any] | None = None
    move: bool = False  # the file may be taken away from where it is


@dataclass(frozen=True, slots=True, eq=False)
class Intake:
    """Adds files with their rows; a crash at any step leaves a file that no row names, at worst."""

    database: Database
    files: Files

    def add(self, new: Incoming, rows: Callable[[Session, ArtefactRow], int]) -> int:
        """Store a file, then let `rows` put its row where it belongs; returns the row's id.

        `rows` may return the id of another artefact that will do instead. An IntegrityError
        means that somebody else was faster and is raised as NameTakenError.
        """
        try:
            with self.files.incoming() as incoming:
                staged = self.files.stage(new.path, new.sha256, incoming, move=new.move)
                with self.files.placed(staged, new.sha256, new.format) as path:
                    row = _row(new, size_of(path))
                    with self.database.session() as session:
                        kept = rows(session, row)
                    write_about(self.database, self.files, [new.sha256])
                    return kept
        except IntegrityError as error:
            self._forget(new)
            raise NameTakenError(
                "Somebody else added the same model at this moment. Try again, or with another "
                "name."
            ) from error
        except BaseException:
            self._forget(new)
            raise

    def _forget(self, new: Incoming) -> None:
        """Delete a placed file that no row came to name; `scan` finds it should this fail."""
        path = self.files.path(new.sha256, new.format)
        with suppress(InUseError, StoreError, OSError), unused(path):
            with self.database.session() as session:
                named = bool(rows_of(session, new.sha256))
            if not named:
                self.files.delete(new.sha256, new.format)


def _row(new: Incoming, size_bytes: int) -> ArtefactRow:
    return ArtefactRow(
        format=new.format,
        precision=new.precision,
        sha256=new.sha256,
        size_bytes=size_bytes,
        spec=new.spec,
        origin=new.origin,
        made_from_id=new.made_from_id,
        passport=new.passport,
        parity=new.parity,
    )
