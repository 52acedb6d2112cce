"""What serves a model's name and what did before: its promotions that stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline_backend.store.records import SHIPPED, Artefact, Model, Promotion
from sightline_backend.store.store import Store
from sightline_engines.types import Format

_FORMATS = (Format.ONNX, Format.OPENVINO, Format.TENSORRT)  # the one that serves first, first


@dataclass(frozen=True, slots=True)
class Stand:
    """An artefact that serves, or did."""

    artefact: Artefact
    engine: str  # "": what the server is set to
    promotion: Promotion | None  # None: it serves as it was added


def stands(store: Store, model: Model) -> Sequence[Stand]:
    """Return what is in force and what was before it, the newest first; blocks.

    The last needs no promotion. Empty: nothing of the model can run.
    """
    every = {one.id: one for version in model.versions for one in version.artefacts}
    promoted = [
        Stand(every[one.artefact_id], one.engine, one)
        for one in store.promotions.history(model.name)
        if one.rolled_back_at is None and one.artefact_id in every
    ]
    default = _default(model)
    return promoted if default is None else [*promoted, Stand(default, "", None)]


def _default(model: Model) -> Artefact | None:
    """Return what serves while nothing is promoted, as `rows.active_rows` has it.

    That is what ships, else the first version's ONNX or the like.
    """
    every = [artefact for version in model.versions for artefact in version.artefacts]
    able = [artefact for artefact in every if artefact.spec is not None]
    return min(able, key=_rank, default=None)


def _rank(one: Artefact) -> tuple[bool, int, int, int]:
    return one.origin != SHIPPED, one.version, _FORMATS.index(one.format), one.id
