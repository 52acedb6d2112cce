"""The model that ships has rows too, so that it can be converted, measured and promoted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from sightline_backend.store.database import Database
from sightline_backend.store.records import SHIPPED
from sightline_backend.store.specs import spec_fields
from sightline_backend.store.tables import ArtefactRow, ModelRow, PromotionRow, VersionRow, now
from sightline_engines.assets import SHIPPED_NAME
from sightline_engines.types import Format, ModelSpec

log = logging.getLogger(__name__)


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

    They share a version: a new one once an update has brought other fp32 weights. While fp32 is
    the same, the row of a file that `specs` lacks stays: it may be back at the next start.
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
        number = max((one.number for one in model.versions), default=0) + 1
        _drop_old(session, model, [] if version is None else specs)
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


def _drop_old(session: Session, model: ModelRow, now_there: Sequence[ModelSpec]) -> None:
    """Forget files of an older package, which are gone, but not what was made from them.

    `now_there` is what replaces them within their version; empty: a new version does.
    """
    hashes = {spec.precision: spec.sha256 for spec in now_there}
    old = [
        artefact
        for version in model.versions
        for artefact in version.artefacts
        if artefact.origin == SHIPPED
        and (not hashes or artefact.sha256 != hashes.get(artefact.precision, artefact.sha256))
    ]
    if old:
        _end_promotions(session, model, {artefact.id for artefact in old})
    for artefact in old:
        artefact.version.artefacts.remove(artefact)
    for version in list(model.versions):
        if not version.artefacts:
            model.versions.remove(version)
    session.flush()


def _end_promotions(session: Session, model: ModelRow, dropped: set[int]) -> None:
    """Take back what was promoted before one of `dropped` was, if that is in force.

    Its promotion goes with it, and what it replaced must not come back unasked: fp32 serves.
    """
    asked = select(PromotionRow).where(
        PromotionRow.model_id == model.id, PromotionRow.rolled_back_at.is_(None)
    )
    standing = session.scalars(asked.order_by(PromotionRow.id.desc())).all()
    if not standing or standing[0].artefact_id not in dropped:
        return
    for older in standing[1:]:
        if older.artefact_id not in dropped:
            older.rolled_back_at = now()
    log.warning(
        "The file that was promoted to serve %s is gone with the update: what ships serves in "
        "fp32 until another is promoted.",
        model.name,
    )
