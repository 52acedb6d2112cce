"""Rows of the database as what the store gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session

from sightline_backend.errors import UnknownError, UnknownModelError
from sightline_backend.models.recognised import RecognisedFiles
from sightline_backend.store.files import Files
from sightline_backend.store.records import SHIPPED, Artefact, Model, Version
from sightline_backend.store.specs import spec_from
from sightline_backend.store.tables import ArtefactRow, ModelRow, PromotionRow, VersionRow
from sightline_engines.assets import RESERVED, SHIPPED_NAME, shipped_model, shipped_path
from sightline_engines.errors import ModelFileError
from sightline_engines.passport import Passport
from sightline_engines.types import Format, ModelSpec

_Row = tuple[ArtefactRow, VersionRow, ModelRow]


def find_model(session: Session, name: str) -> ModelRow:
    """Return a model's row; raises UnknownModelError."""
    row = session.scalar(select(ModelRow).where(ModelRow.folded == _folded(name)))
    if row is None:
        if _folded(name) in RESERVED:
            raise UnknownModelError(
                f"{name} is a file of {SHIPPED_NAME}, not a model of its own: name {SHIPPED_NAME}, "
                "and that file by its artefact's number."
            )
        names = ", ".join(session.scalars(select(ModelRow.name).order_by(ModelRow.folded)))
        raise UnknownModelError(f"There is no model {name[:80]!r} here; there are {names}.")
    return row


def find_version(session: Session, name: str, number: int) -> VersionRow:
    """Return a version's row; raises UnknownModelError or UnknownError."""
    model = find_model(session, name)
    for row in model.versions:
        if row.number == number:
            return row
    known = ", ".join(str(row.number) for row in model.versions)
    raise UnknownError(f"{model.name} has no version {number}; it has {known}.")


def find_artefact(session: Session, artefact_id: int) -> ArtefactRow:
    """Return an artefact's row; raises UnknownError."""
    row = session.get(ArtefactRow, artefact_id) if 0 < artefact_id < 2**31 else None
    if row is None:
        raise UnknownError(f"There is no artefact {artefact_id} here; a model's page lists its.")
    return row


def active_rows() -> Select[ArtefactRow, VersionRow, ModelRow, str]:
    """Ask for what serves under each name: what was promoted last, else what came first.

    A model's first version goes before later ones, and ONNX before what was made from it.
    """
    promoted = (
        select(PromotionRow.id)
        .where(PromotionRow.model_id == ModelRow.id, PromotionRow.rolled_back_at.is_(None))
        .order_by(PromotionRow.id.desc())
        .limit(1)
        .correlate(ModelRow)
        .scalar_subquery()
    )
    theirs, beside = VersionRow.__table__.alias("v"), ArtefactRow.__table__.alias("a")
    rank = {Format.ONNX: 0, Format.OPENVINO: 1, Format.TENSORRT: 2}
    first = (
        select(beside.c.id)
        .join(theirs, theirs.c.id == beside.c.version_id)
        .where(theirs.c.model_id == ModelRow.id, beside.c.format.in_(list(rank)))
        .order_by(
            case((beside.c.origin == SHIPPED, 0), else_=1),
            theirs.c.number,
            case(rank, value=beside.c.format),
            beside.c.id,
        )
        .limit(1)
        .correlate(ModelRow)
        .scalar_subquery()
    )
    return (
        select(ArtefactRow, VersionRow, ModelRow, PromotionRow.engine)
        .join(VersionRow, VersionRow.id == ArtefactRow.version_id)
        .join(ModelRow, ModelRow.id == VersionRow.model_id)
        .outerjoin(PromotionRow, PromotionRow.id == promoted)
        .where(ArtefactRow.id == func.coalesce(PromotionRow.artefact_id, first))
        .order_by(case((ModelRow.name == SHIPPED_NAME, 0), else_=1), ModelRow.folded)
    )


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Makes records of rows; knows where files lie."""

    files: Files
    recognised: RecognisedFiles

    def spec(self, row: _Row, engine: str = "") -> ModelSpec:
        """Return what an artefact that runs is.

        Raises ModelFileError for one that ships if this install lacks it or it is refused.
        """
        artefact, version, model = row
        if artefact.origin == SHIPPED:  # its package says, and may have been updated
            shipped = self.recognised.spec(shipped_model(artefact.precision))
            number = str(version.number)
            return replace(shipped, name=model.name, version=number, engine=engine)
        return self._as_stored(row, engine)

    def _as_stored(self, row: _Row, engine: str = "") -> ModelSpec:
        """Return what an artefact was when it was stored, whether or not its file is there."""
        artefact, version, model = row
        if artefact.origin == SHIPPED:
            path = shipped_path(artefact.precision)
        else:
            path = self.files.path(artefact.sha256, Format(artefact.format))
        return spec_from(
            artefact.spec,
            name=model.name,
            version=version.number,
            path=path,
            sha256=artefact.sha256,
            licence=version.licence,
            source=version.source,
            passport=_passport(artefact),
            engine=engine,
        )

    def artefact(self, row: _Row) -> Artefact:
        """Return an artefact."""
        artefact, version, model = row
        kind = Format(artefact.format)
        spec = None
        if kind is not Format.TORCH:
            try:
                spec = self.spec(row)
            except ModelFileError:  # `ModelStore.broken` says why; the others are listed with it
                spec = self._as_stored(row)
        return Artefact(
            id=artefact.id,
            model=model.name,
            version=version.number,
            format=kind,
            precision=artefact.precision,
            sha256=artefact.sha256,
            size_bytes=artefact.size_bytes,
            path=spec.path if spec else self.files.path(artefact.sha256, kind),
            spec=spec,
            made_from_id=artefact.made_from_id,
            origin=artefact.origin,
            passport=_passport(artefact),
            parity=artefact.parity,
            created_at=artefact.created_at,
        )

    def version(self, row: VersionRow) -> Version:
        """Return a version with its artefacts."""
        return Version(
            row.number,
            row.licence,
            row.source,
            row.created_at,
            tuple(self.artefact((artefact, row, row.model)) for artefact in row.artefacts),
        )

    def model(self, row: ModelRow, active: tuple[int, str] | None) -> Model:
        """Return a model; `active` is the id of what serves, and the engine it was promoted to."""
        versions = tuple(self.version(version) for version in row.versions)
        every = [artefact for version in versions for artefact in version.artefacts]
        return Model(
            name=row.name,
            description=row.description,
            created_at=row.created_at,
            shipped=row.name == SHIPPED_NAME,
            versions=versions,
            active=next((one for one in every if active and one.id == active[0]), None),
            active_engine=active[1] if active else "",
        )


def active_ids(session: Session) -> dict[int, tuple[int, str]]:
    """Return by a model's id what serves under its name, and the engine it was promoted to."""
    return {
        model.id: (artefact.id, engine or "")
        for artefact, _, model, engine in session.execute(active_rows())
    }


def rows_of(session: Session, sha256: str) -> Sequence[_Row]:
    """Return all artefacts that share one file."""
    asked = (
        select(ArtefactRow, VersionRow, ModelRow)
        .join(VersionRow, VersionRow.id == ArtefactRow.version_id)
        .join(ModelRow, ModelRow.id == VersionRow.model_id)
        .where(ArtefactRow.sha256 == sha256, ArtefactRow.origin != SHIPPED)
        .order_by(ArtefactRow.id)
    )
    return [(artefact, version, model) for artefact, version, model in session.execute(asked)]


def _passport(row: ArtefactRow) -> Passport | None:
    return Passport.from_dict(row.passport) if row.passport else None


def _folded(name: str) -> str:
    return name.casefold().replace("\0", "")[:100].encode("utf-8", "replace").decode()
