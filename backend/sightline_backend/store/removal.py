"""How models, versions and artefacts leave: unused first of all, then their rows, then files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from sightline_backend.errors import InUseError, NotPossibleError
from sightline_backend.store.about import write_about
from sightline_backend.store.database import Database
from sightline_backend.store.files import Files
from sightline_backend.store.locks import unused
from sightline_backend.store.records import SHIPPED
from sightline_backend.store.rows import (
    active_ids,
    find_artefact,
    find_model,
    find_version,
    rows_of,
)
from sightline_backend.store.tables import ArtefactRow, ModelRow, VersionRow
from sightline_engines.assets import SHIPPED_NAME
from sightline_engines.types import Format

_File: TypeAlias = tuple[str, Format]  # its hash and what it is


@dataclass(frozen=True, slots=True, eq=False)
class Removal:
    """Removes what nobody uses; raises InUseError for what somebody does, and changes nothing."""

    database: Database
    files: Files

    def model(self, name: str) -> None:
        """Remove a model with all that belongs to it."""

        def doomed(session: Session) -> Sequence[ArtefactRow]:
            model = find_model(session, name)
            if model.name == SHIPPED_NAME:
                raise NotPossibleError(f"{model.name} ships with Sightline and stays.")
            return [artefact for version in model.versions for artefact in version.artefacts]

        def drop(session: Session) -> None:
            model_id = find_model(session, name).id
            session.execute(delete(ModelRow).where(ModelRow.id == model_id))

        self._remove(doomed, drop)

    def version(self, name: str, number: int) -> None:
        """Remove a version with its artefacts."""

        def doomed(session: Session) -> Sequence[ArtefactRow]:
            version = find_version(session, name, number)
            _refuse_active(session, version.model, version.artefacts)
            return version.artefacts

        def drop(session: Session) -> None:
            version_id = find_version(session, name, number).id
            session.execute(delete(VersionRow).where(VersionRow.id == version_id))

        self._remove(doomed, drop)

    def artefact(self, artefact_id: int) -> None:
        """Remove one artefact; the version goes with its last one."""

        def doomed(session: Session) -> Sequence[ArtefactRow]:
            artefact = find_artefact(session, artefact_id)
            _refuse_active(session, artefact.version.model, [artefact])
            if len(artefact.version.artefacts) == len(artefact.version.model.versions) == 1:
                raise NotPossibleError(
                    f"Artefact {artefact_id} is all that there is of {artefact.version.model.name}"
                    f"; remove the model itself: sightline models remove "
                    f"{artefact.version.model.name}"
                )
            return [artefact]

        def drop(session: Session) -> None:
            version_id = find_artefact(session, artefact_id).version_id
            session.execute(delete(ArtefactRow).where(ArtefactRow.id == artefact_id))
            left = select(ArtefactRow.id).where(ArtefactRow.version_id == version_id)
            if session.scalar(left.limit(1)) is None:
                session.execute(delete(VersionRow).where(VersionRow.id == version_id))

        self._remove(doomed, drop)

    def _remove(
        self,
        doomed: Callable[[Session], Sequence[ArtefactRow]],
        drop: Callable[[Session], None],
    ) -> None:
        with self.database.reading() as session:
            gone = _files(doomed(session))
        while (more := self._removed(gone, doomed, drop)) - gone:
            gone |= more

    def _removed(
        self,
        gone: AbstractSet[_File],
        doomed: Callable[[Session], Sequence[ArtefactRow]],
        drop: Callable[[Session], None],
    ) -> AbstractSet[_File]:
        """Remove rows and files, unless there are more by now; return which files there are."""
        with ExitStack() as held:
            for sha256, kind in gone:
                held.enter_context(unused(self.files.path(sha256, kind)))
            hashes = {sha256 for sha256, _ in gone}
            try:
                # Without its word a file that a crash leaves here is swept, and not brought back.
                for sha256 in hashes:
                    self.files.about_path(sha256).unlink(missing_ok=True)
                with self.database.session() as session:
                    now = _files(_alone(session, doomed))  # one may have been promoted since
                    if now <= gone:
                        drop(session)
                    shared = {sha256 for sha256 in hashes if rows_of(session, sha256)}
            except BaseException:
                write_about(self.database, self.files, hashes)
                raise
            for sha256, kind in gone if now <= gone else ():
                if sha256 not in shared:
                    self.files.delete(sha256, kind)
            write_about(self.database, self.files, shared)
            return now


def _files(rows: Sequence[ArtefactRow]) -> AbstractSet[_File]:
    return {(row.sha256, Format(row.format)) for row in rows}


def _alone(
    session: Session, doomed: Callable[[Session], Sequence[ArtefactRow]]
) -> Sequence[ArtefactRow]:
    """Return what is to go, with nobody able to add to it until the transaction's end."""
    versions = {row.version_id for row in doomed(session)}
    asked = select(VersionRow.model_id, VersionRow.id).where(VersionRow.id.in_(versions))
    models = {model_id for model_id, _ in session.execute(asked.with_for_update())}
    session.execute(select(ModelRow.id).where(ModelRow.id.in_(models)).with_for_update())
    session.expire_all()
    return doomed(session)


def _refuse_active(session: Session, model: ModelRow, rows: Sequence[ArtefactRow]) -> None:
    active, _ = active_ids(session).get(model.id, (0, ""))
    if any(row.id == active for row in rows):
        raise InUseError(
            f"Artefact {active} is what serves as {model.name}. Promote another one first, or "
            f"remove the whole model: sightline models remove {model.name}"
        )
    if any(row.origin == SHIPPED for row in rows):
        raise NotPossibleError(f"{model.name} ships with Sightline and stays.")
