"""What artefacts were measured to do: written by benchmarks and validations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from sightline_backend.errors import UnknownError
from sightline_backend.store.database import Database
from sightline_backend.store.records import Measurement
from sightline_backend.store.tables import ArtefactRow, MeasurementRow, ModelRow, VersionRow


class Measurements:
    """Keeps figures by artefact; they go when their artefact does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, artefact_id: int, engine: str, figures: dict[str, Any], job_id: int | None = None
    ) -> Measurement:
        """Keep one cell's figures; raises UnknownError for an artefact or job that is gone."""
        row = MeasurementRow(artefact_id=artefact_id, engine=engine, figures=figures, job_id=job_id)
        try:
            with self._database.session() as session:
                session.add(row)
                session.flush()
                return _measurement(row)
        except IntegrityError as error:
            raise UnknownError(
                f"There is no artefact {artefact_id}, or no job {job_id}, to measure."
            ) from error

    def of(self, artefact_id: int) -> Sequence[Measurement]:
        """Return what was measured of one artefact, the oldest first."""
        asked = select(MeasurementRow).where(MeasurementRow.artefact_id == artefact_id)
        with self._database.reading() as session:
            return [_measurement(row) for row in session.scalars(asked.order_by(MeasurementRow.id))]

    def of_model(self, name: str) -> Sequence[Measurement]:
        """Return what was measured of all of a model's artefacts, the oldest first."""
        asked = (
            select(MeasurementRow)
            .join(ArtefactRow, ArtefactRow.id == MeasurementRow.artefact_id)
            .join(VersionRow, VersionRow.id == ArtefactRow.version_id)
            .join(ModelRow, ModelRow.id == VersionRow.model_id)
            .where(ModelRow.folded == name.casefold())
            .order_by(MeasurementRow.id)
        )
        with self._database.reading() as session:
            return [_measurement(row) for row in session.scalars(asked)]


def _measurement(row: MeasurementRow) -> Measurement:
    return Measurement(row.id, row.artefact_id, row.job_id, row.engine, row.figures, row.created_at)
