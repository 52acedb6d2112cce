"""Who was promoted to serve under which name, and why."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from sightline_backend.errors import NotPossibleError, UnknownError
from sightline_backend.store.database import Database
from sightline_backend.store.records import Promotion
from sightline_backend.store.tables import (
    ArtefactRow,
    ModelRow,
    PromotionRow,
    VersionRow,
    now,
)
from sightline_backend.store.texts import REASON_LENGTH, clean


class Promotions:
    """Keeps each promotion; the newest that was not rolled back is in force."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(  # noqa: PLR0913  one row's columns
        self,
        model: str,
        artefact_id: int,
        *,
        engine: str = "",
        reason: str = "",
        accuracy_loss: float | None = None,
        forced: bool = False,
    ) -> Promotion:
        """Have an artefact serve from now on; raises UnknownError unless it is the model's."""
        with self._database.session() as session:
            model_id = _model_id(session, model)
            theirs = session.scalar(
                select(VersionRow.model_id)
                .join(ArtefactRow, ArtefactRow.version_id == VersionRow.id)
                .where(ArtefactRow.id == artefact_id)
            )
            if theirs != model_id:
                raise UnknownError(f"The model {model} has no artefact {artefact_id}.")
            row = PromotionRow(
                model_id=model_id,
                artefact_id=artefact_id,
                engine=engine,
                reason=clean(reason, REASON_LENGTH),
                accuracy_loss=accuracy_loss,
                forced=forced,
            )
            session.add(row)
            session.flush()
            return _promotion(row, model)

    def standing(self, model: str) -> Promotion | None:
        """Return what is in force; None: the model serves as it was added."""
        return next((p for p in self.history(model) if p.rolled_back_at is None), None)

    def history(self, model: str) -> Sequence[Promotion]:
        """Return all promotions of a model, the newest first; raises UnknownError."""
        with self._database.reading() as session:
            asked = select(PromotionRow).where(PromotionRow.model_id == _model_id(session, model))
            rows = session.scalars(asked.order_by(PromotionRow.id.desc()))
            return [_promotion(row, model) for row in rows]

    def roll_back(self, model: str, expected: int | None = None) -> Promotion | None:
        """Take the newest promotion back; returns the one in force now, None if there is none.

        Raises NotPossibleError when nothing was promoted, or another than the `expected` one is
        in force by now; None takes back whichever it is.
        """
        with self._database.session() as session:
            model_id = _model_id(session, model)
            # Two servers roll back two, not the same one twice. The choice is a statement of its
            # own, so that what others changed while this one waited counts.
            session.scalar(select(ModelRow.id).where(ModelRow.id == model_id).with_for_update())
            rows = session.scalars(
                select(PromotionRow)
                .where(PromotionRow.model_id == model_id)
                .where(PromotionRow.rolled_back_at.is_(None))
                .order_by(PromotionRow.id.desc())
                .limit(2)
            ).all()
            if expected is not None and expected not in [row.id for row in rows[:1]]:
                raise NotPossibleError(
                    f"Somebody else has changed what serves {model} in the meantime. See what is "
                    "in force now, then roll back if it is still wanted."
                )
            if not rows:
                raise NotPossibleError(
                    f"Nothing was promoted under {model}, so there is nothing to go back to."
                )
            rows[0].rolled_back_at = now()
            return _promotion(rows[1], model) if len(rows) > 1 else None


def _model_id(session: Session, name: str) -> int:
    found = session.scalar(select(ModelRow.id).where(ModelRow.folded == name.casefold()))
    if found is None:
        raise UnknownError(f"There is no model {name[:80]!r} here.")
    return found


def _promotion(row: PromotionRow, model: str) -> Promotion:
    return Promotion(
        row.id,
        model,
        row.artefact_id,
        row.engine,
        row.reason,
        row.accuracy_loss,
        row.forced,
        row.created_at,
        row.rolled_back_at,
    )
