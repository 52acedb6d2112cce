"""The model that ships has rows too, so that it can be converted, measured and promoted."""

from __future__ import annotations

from collections.abc import Sequence
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


def known_shipped(database: Database) -> frozenset[str]:
    """Return the hashes of the shipped files that have a row."""
    with database.reading() as session:
        return frozenset(
            session.scalars(select(ArtefactRow.sha256).where(ArtefactRow.origin == SHIPPED))
        )


def shipped_version(database: Database) -> int:
    """Return the number of the version that the shipped files are, 1 before they have rows."""
    with database.reading() as session:
        asked = select(VersionRow.number).join(ArtefactRow, ArtefactRow.version_id == VersionRow.id)
        found = session.scalar(asked.where(ArtefactRow.origin == SHIPPED).limit(1))
        return found or 1


def register_shipped(database: Database, specs: Sequence[ModelSpec]) -> None:
    """Give the package's files their rows; `specs` begin with fp32, which serves.

    They share a version: a new one once an update has brought other fp32 weights.
    """
    with suppress(IntegrityError), database.session() as session:  # another process was faster
        # Locked: another process that starts now waits here, and then finds it done.
        asked = select(ModelRow).where(ModelRow.name == SHIPPED_NAME).with_for_update()
        model = session.scalar(asked)
        if model is None:
            model = ModelRow(name=SHIPPED_NAME, folded=SHIPPED_NAME.casefold())
            model.description = "Finds persons and faces before a webcam; ships with Sightline."
            session.add(model)
        version = _version(model, specs[0])
        kept = {spec.sha256 for spec in specs} if version is not None else set()
        number = max((one.number for one in model.versions), default=0) + 1
        _drop_old(session, model, kept)
        if version is None:
            licence, source = specs[0].licence, specs[0].source
            version = VersionRow(number=number, licence=licence, source=source)
            model.versions.append(version)
        there = {one.sha256 for one in version.artefacts if one.origin == SHIPPED}
        for spec in specs:
            if spec.sha256 not in there:
                version.artefacts.append(_row(spec))
                session.flush()  # one by one: of two files the first row serves


def _version(model: ModelRow, fp32: ModelSpec) -> VersionRow | None:
    """Return the version that already has the package's fp32 file."""
    for version in model.versions:
        if any((one.origin, one.sha256) == (SHIPPED, fp32.sha256) for one in version.artefacts):
            return version
    return None


def _row(spec: ModelSpec) -> ArtefactRow:
    return ArtefactRow(
        format=Format.ONNX,
        precision=spec.precision,
        sha256=spec.sha256,
        size_bytes=spec.path.stat().st_size,
        spec=spec_fields(spec),
        origin=SHIPPED,
    )


def _drop_old(session: Session, model: ModelRow, kept: set[str]) -> None:
    """Forget files of an older package, which are gone, but not what was made from them."""
    for version in list(model.versions):
        for artefact in list(version.artefacts):
            if artefact.origin == SHIPPED and artefact.sha256 not in kept:
                version.artefacts.remove(artefact)
        if not version.artefacts:
            model.versions.remove(version)
    session.flush()
