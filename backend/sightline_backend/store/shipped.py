"""The model that ships has rows too, so that it can be converted, measured and promoted."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from sightline_backend.store.database import Database
from sightline_backend.store.rows import SHIPPED
from sightline_backend.store.specs import spec_fields
from sightline_backend.store.tables import ArtefactRow, ModelRow, VersionRow
from sightline_engines.assets import SHIPPED_NAME
from sightline_engines.types import Format, ModelSpec


def known_shipped(database: Database) -> str:
    """Return the hash of the shipped model that has a row, "" if none has."""
    with database.reading() as session:
        asked = select(ArtefactRow.sha256).where(ArtefactRow.origin == SHIPPED)
        return session.scalar(asked) or ""


def register_shipped(database: Database, spec: ModelSpec) -> None:
    """Give the package's model its rows: a new version once an update has brought another."""
    with suppress(IntegrityError), database.session() as session:  # another process was faster
        # Locked: another process that starts now waits here, and then finds it done.
        asked = select(ModelRow).where(ModelRow.name == SHIPPED_NAME).with_for_update()
        model = session.scalar(asked)
        if model is None:
            model = ModelRow(name=SHIPPED_NAME, folded=SHIPPED_NAME.casefold())
            model.description = "Finds persons and faces before a webcam; ships with Sightline."
            session.add(model)
        there = [artefact for version in model.versions for artefact in version.artefacts]
        if any((one.origin, one.sha256) == (SHIPPED, spec.sha256) for one in there):
            return
        number = max((version.number for version in model.versions), default=0) + 1
        _drop_old(session, model)
        row = ArtefactRow(
            format=Format.ONNX,
            precision=spec.precision,
            sha256=spec.sha256,
            size_bytes=spec.path.stat().st_size,
            spec=spec_fields(spec),
            origin=SHIPPED,
        )
        version = VersionRow(number=number, licence=spec.licence, source=spec.source)
        version.artefacts.append(row)
        model.versions.append(version)


def _drop_old(session: Session, model: ModelRow) -> None:
    """Forget the file of an older package, which is gone, but not what was made from it."""
    for version in list(model.versions):
        for artefact in list(version.artefacts):
            if artefact.origin == SHIPPED:
                version.artefacts.remove(artefact)
        if not version.artefacts:
            model.versions.remove(version)
    session.flush()
