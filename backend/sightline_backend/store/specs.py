"""A model's spec as the database keeps it: what its file was recognised to be."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from sightline_engines.passport import Passport
from sightline_engines.types import Family, ModelSpec, Postprocess, Preprocess

_KEPT = (
    "family",
    "task",
    "input_size_wh",
    "labels",
    "precision",
    "static_batch",
    "preprocess",
    "postprocess",
    "notes",
)  # all else has a column of its own


def spec_fields(spec: ModelSpec) -> dict[str, Any]:
    """Return what is kept of a spec, as plain values."""
    fields = asdict(spec)
    return {name: fields[name] for name in _KEPT}


def spec_from(  # noqa: PLR0913  one a column
    fields: dict[str, Any],
    *,
    name: str,
    version: int,
    path: Path,
    sha256: str,
    licence: str,
    source: str,
    passport: Passport | None,
    engine: str = "",
) -> ModelSpec:
    """Return the spec that `spec_fields` wrote, with what else belongs to it."""
    width, height = fields["input_size_wh"]
    return ModelSpec(
        name=name,
        path=path,
        family=Family(fields["family"]),
        input_size_wh=(width, height),
        labels=tuple(fields["labels"]),
        version=str(version),
        task=fields["task"],
        precision=fields["precision"],
        static_batch=fields["static_batch"],
        preprocess=Preprocess(**fields["preprocess"]),
        postprocess=Postprocess(**fields["postprocess"]),
        licence=licence,
        source=source,
        sha256=sha256,
        notes=tuple(fields["notes"]),
        engine=engine,
        passport=passport,
    )
