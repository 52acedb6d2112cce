"""What is stored of a model in memory: which file runs, since when, and what was before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sightline_backend.errors import UnknownError, UnknownModelError
from sightline_backend.serving.history import stands
from sightline_backend.store.records import Artefact, Model
from sightline_backend.store.store import Store
from sightline_engines.types import ModelSpec


def rollback_to(store: Store, model: Model) -> tuple[Artefact, ModelSpec] | None:
    """Return what a rollback brings back, and how it runs; None: there is nothing. Blocks."""
    found = stands(store, model)
    spec = found[1].artefact.spec if len(found) > 1 else None
    if spec is None:
        return None
    return found[1].artefact, replace(spec, name=model.name, engine=found[1].engine)


def row_of(store: Store, running: ModelSpec, warm: Sequence[ModelSpec]) -> dict[str, Any]:
    """Return a row of `/api/serving` for the very file that runs; blocks.

    That may be another than the one in force. A file that the settings name has no history.
    """
    row: dict[str, Any] = {
        "model": running.name,
        "version": None,
        "artefact_id": None,
        "format": str(running.format),
        "precision": running.precision,
        "promoted": None,
        "reason": "",
        "rollback_to": None,
    }
    try:
        model = store.models.model(running.name)
    except (UnknownError, UnknownModelError):
        return row
    for one in (one for version in model.versions for one in version.artefacts):
        if (one.path, str(one.version)) == (running.path, running.version):
            row |= {"version": one.version, "artefact_id": one.id}
    found = stands(store, model)
    if found and (promotion := found[0].promotion) is not None:
        row |= {"promoted": promotion.created_at.isoformat(), "reason": promotion.reason}
    if (back := rollback_to(store, model)) is not None:
        artefact, spec = back
        row["rollback_to"] = {
            "artefact_id": artefact.id,
            "version": artefact.version,
            "format": str(artefact.format),
            "precision": artefact.precision,
            "engine": spec.engine,
            "warm": any(one.path == spec.path for one in warm),
        }
    return row
