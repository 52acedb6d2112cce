"""What /api/models answers, and how it is made of what the store says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from sightline_backend.schemas import ModelAnswer, Thresholds
from sightline_backend.store.records import (
    Artefact,
    Measurement,
    Model,
    Promotion,
    ScanReport,
    Version,
)
from sightline_engines.types import Format, ModelSpec, Postprocess


class ListedModel(ModelAnswer):
    """One model of /api/models."""

    description: str
    versions: int = Field(description="How many are stored; 0: a file outside the store.")
    format: str = Field(
        examples=["onnx"],
        description="Of what serves. pt: nothing can; a checkpoint has to be converted first, and "
        "its classes and input size ([0, 0]) aren't known until then.",
    )


class MeasurementAnswer(BaseModel):
    """What one benchmark cell or validation found."""

    id: int
    engine: str
    job_id: int | None
    created_at: datetime
    figures: dict[str, Any]


class ArtefactAnswer(BaseModel):
    """One file of a version."""

    id: int
    format: str = Field(examples=["onnx", "pt", "openvino", "tensorrt"])
    precision: str = Field(examples=["fp32", "fp16", "int8"])
    sha256: str
    size_bytes: int
    static_batch: int | None = Field(description="The only batch size it takes; null: any.")
    origin: str
    made_from_id: int | None
    parity: dict[str, Any] | None
    passport: dict[str, Any] | None
    created_at: datetime
    measurements: list[MeasurementAnswer]


class VersionAnswer(BaseModel):
    """One training of a model."""

    number: int
    licence: str
    source: str
    created_at: datetime
    family: str | None = Field(description="null: a checkpoint that nobody converted yet.")
    labels: list[str]
    input_size_wh: tuple[int, int] | None
    artefacts: list[ArtefactAnswer]


class ActiveAnswer(BaseModel):
    """What serves under a model's name."""

    artefact_id: int
    version: int
    engine: str = Field(description="What it was promoted to run on; empty: the server's setting.")


class PromotionAnswer(BaseModel):
    """A change of what serves."""

    artefact_id: int
    engine: str = Field(description="What it was to run on; empty: the server's setting.")
    reason: str
    accuracy_loss: float | None = Field(description="mAP50-95; null: not measured on one data set.")
    forced: bool = Field(description="It was promoted past the gate.")
    created_at: datetime
    rolled_back_at: datetime | None


class ModelDetail(BaseModel):
    """All that is stored under one name."""

    name: str
    description: str
    shipped: bool
    loaded: bool
    created_at: datetime
    active: ActiveAnswer | None
    rollback_to: ActiveAnswer | None = Field(
        description="What a rollback brings back, whether the model is loaded or not; null: there "
        "is nothing to go back to."
    )
    versions: list[VersionAnswer]
    promotions: list[PromotionAnswer] = Field(description="The newest first.")


class ConversionAnswer(BaseModel):
    """A kind of artefact, and why it can't be made here; null: it can."""

    format: str
    precision: str
    why_not: str | None


class BrokenAnswer(BaseModel):
    """A model that can't be used, and why."""

    name: str
    problem: str


class ScanAnswer(BaseModel):
    """What a scan found and did."""

    added: list[str]
    missing: list[str]
    broken: list[BrokenAnswer]
    orphaned: list[str] = Field(description="Files that belonged to nothing and were deleted.")


def listed_model(
    spec: ModelSpec, stored: tuple[str, int], *, loaded: bool, default: bool
) -> ListedModel:
    """Return a model that can run; `stored` is its description and its number of versions."""
    description, versions = stored
    return ListedModel(
        name=spec.name,
        version=spec.version,
        family=spec.family,
        precision=spec.precision,
        labels=list(spec.labels),
        input_size_wh=spec.input_size_wh,
        defaults=_thresholds(spec.postprocess),
        licence=spec.licence,
        source=spec.source,
        loaded=loaded,
        default=default,
        description=description,
        versions=versions,
        format=spec.format,
    )


def listed_checkpoint(model: Model) -> ListedModel:
    """Return a model of which nothing can run yet."""
    newest = max(model.versions, key=lambda version: version.number, default=None)
    return ListedModel(
        name=model.name,
        version=str(newest.number) if newest else "",
        family="",
        precision="fp32",
        labels=[],
        input_size_wh=(0, 0),
        defaults=_thresholds(Postprocess()),
        licence=newest.licence if newest else "unknown",
        source=newest.source if newest else "",
        loaded=False,
        default=False,
        description=model.description,
        versions=len(model.versions),
        format=Format.TORCH,
    )


def model_detail(
    model: Model,
    measured: Sequence[Measurement],
    promotions: Sequence[Promotion] = (),
    before: tuple[Artefact, ModelSpec] | None = None,
    *,
    loaded: bool,
) -> ModelDetail:
    """Return a model with what was measured of it and what served under its name.

    `before` is what a rollback brings back.
    """
    active = model.active
    return ModelDetail(
        name=model.name,
        description=model.description,
        shipped=model.shipped,
        loaded=loaded,
        created_at=model.created_at,
        active=ActiveAnswer(
            artefact_id=active.id, version=active.version, engine=model.active_engine
        )
        if active
        else None,
        rollback_to=ActiveAnswer(
            artefact_id=before[0].id, version=before[0].version, engine=before[1].engine
        )
        if before
        else None,
        versions=[_version(version, measured) for version in model.versions],
        promotions=[
            PromotionAnswer.model_validate(one, from_attributes=True) for one in promotions
        ],
    )


def scan_answer(report: ScanReport) -> ScanAnswer:
    """Return what a scan found and did."""
    return ScanAnswer(
        added=list(report.added),
        missing=list(report.missing),
        broken=[BrokenAnswer(name=b.name, problem=b.problem) for b in report.broken],
        orphaned=list(report.orphaned),
    )


def _thresholds(given: Postprocess) -> Thresholds:
    return Thresholds(conf=given.conf, iou=given.iou, max_detections=given.max_detections)


def _version(version: Version, measured: Sequence[Measurement]) -> VersionAnswer:
    spec = next((artefact.spec for artefact in version.artefacts if artefact.spec), None)
    return VersionAnswer(
        number=version.number,
        licence=version.licence,
        source=version.source,
        created_at=version.created_at,
        family=spec.family if spec else None,
        labels=list(spec.labels) if spec else [],
        input_size_wh=spec.input_size_wh if spec else None,
        artefacts=[_artefact(artefact, measured) for artefact in version.artefacts],
    )


def _artefact(artefact: Artefact, measured: Sequence[Measurement]) -> ArtefactAnswer:
    return ArtefactAnswer(
        id=artefact.id,
        format=artefact.format,
        precision=artefact.precision,
        sha256=artefact.sha256,
        size_bytes=artefact.size_bytes,
        static_batch=artefact.spec.static_batch if artefact.spec else None,
        origin=artefact.origin,
        made_from_id=artefact.made_from_id,
        parity=artefact.parity,
        passport=artefact.passport.to_dict() if artefact.passport else None,
        created_at=artefact.created_at,
        measurements=[
            MeasurementAnswer(
                id=one.id,
                engine=one.engine,
                job_id=one.job_id,
                created_at=one.created_at,
                figures=one.figures,
            )
            for one in measured
            if one.artefact_id == artefact.id
        ],
    )
