"""What serves under a model's name: promote, roll back, try in the shadow."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from sightline_backend.admin import Admin
from sightline_backend.schemas import ERRORS, Served
from sightline_backend.service import Running
from sightline_backend.serving.serving import Change

router = APIRouter(prefix="/api", tags=["models"], responses=ERRORS)

EngineWish = Literal["", "auto", "onnxruntime", "openvino", "tensorrt", "triton"]


class PromoteRequest(BaseModel):
    """Which artefact is to serve."""

    model_config = ConfigDict(extra="forbid")

    artefact_id: int = Field(ge=1)
    engine: EngineWish = Field("", description="What runs it; empty: what the server is set to.")
    force: bool = Field(False, description="Even if it loses more accuracy than is allowed.")
    reason: str = Field("", max_length=2000, description="Why; required with force.")


class ShadowRequest(BaseModel):
    """What is to be tried beside the model that serves."""

    model_config = ConfigDict(extra="forbid")

    artefact_id: int = Field(ge=1)
    engine: EngineWish = ""
    share: float = Field(0.1, gt=0, le=1, description="Of the frames that are answered.")
    seconds: float | None = Field(None, gt=0, le=7 * 86_400, description="Unset: until ended.")


class ChangeAnswer(BaseModel):
    """What serves now, and what did before."""

    model: str
    served: Served
    artefact_id: int
    replaced: Served | None
    replaced_artefact_id: int | None
    accuracy_loss: float | None = Field(description="mAP50-95; null: not measured on one data set.")
    seconds: float


class SpreadAnswer(BaseModel):
    """Milliseconds."""

    p50: float
    p95: float


class SpreadsAnswer(BaseModel):
    """Of the same frames; null: none was compared yet."""

    serving: SpreadAnswer | None
    candidate: SpreadAnswer | None


class ShadowAnswer(BaseModel):
    """How a candidate's boxes and times compare with those of what serves."""

    model: str
    artefact_id: int
    version: str
    format: str
    precision: str
    engine: str
    share: float
    running: bool
    seconds: float
    compared: int = Field(description="Frames that both have run.")
    skipped: int = Field(description="Frames left out, since the candidate was busy.")
    failed: int
    agreeing: float | None = Field(description="Share of both's boxes that agree, 0 to 1.")
    mean_iou: float | None
    only_serving: dict[str, int] = Field(description="Boxes the candidate missed, by class.")
    only_candidate: dict[str, int]
    timed: int = Field(description="Those that both ran in batches of equal size: of the times.")
    infer_ms: SpreadsAnswer
    infer_times: float | None = Field(description="Median time over the other's; 2: half as fast.")


class RollbackTarget(BaseModel):
    """What a rollback brings back."""

    artefact_id: int
    version: int
    format: str
    precision: str
    engine: str
    warm: bool = Field(description="Still in memory, so at once.")


class ServingAnswer(BaseModel):
    """A model in memory."""

    model: str
    version: int | None
    artefact_id: int | None = Field(description="Of the file that runs; null: not of the store.")
    format: str | None
    precision: str | None
    engine: str
    device: str
    fallback: str | None
    streams: int
    promoted: str | None = Field(description="When, ISO 8601; null: it serves as it was added.")
    reason: str
    rollback_to: RollbackTarget | None
    shadow: ShadowAnswer | None
    rebuilding: bool = Field(description="Its plan is being built anew; the ONNX serves meanwhile.")


@router.post("/models/{name}/promote", dependencies=[Admin], summary="Have an artefact serve")
async def promote(service: Running, name: str, asked: PromoteRequest) -> ChangeAnswer:
    """Load it beside what serves, then change over; no stream loses a frame."""
    change = await service.serving.promote(
        name, asked.artefact_id, engine=asked.engine, force=asked.force, reason=asked.reason
    )
    return _change(change)


@router.post("/models/{name}/rollback", dependencies=[Admin], summary="Undo the last promotion")
async def roll_back(service: Running, name: str) -> ChangeAnswer:
    """Bring back what served before; at once while it is still in memory."""
    return _change(await service.serving.roll_back(name))


@router.post("/models/{name}/shadow", dependencies=[Admin], summary="Try an artefact in the shadow")
async def begin_shadow(service: Running, name: str, asked: ShadowRequest) -> ShadowAnswer:
    """Send a share of the model's frames to a candidate as well; its boxes are only compared."""
    report = await service.serving.begin_shadow(
        name, asked.artefact_id, engine=asked.engine, share=asked.share, seconds=asked.seconds
    )
    return _shadow(report)


@router.get("/models/{name}/shadow", summary="What the newest trial in the shadow found")
async def shadow(service: Running, name: str) -> ShadowAnswer:
    """Return the figures so far; they stay until the next trial of the model."""
    return _shadow(service.serving.shadow(name))


@router.delete("/models/{name}/shadow", dependencies=[Admin], summary="End the trial")
async def end_shadow(service: Running, name: str) -> ShadowAnswer:
    """Return what it found."""
    return _shadow(service.serving.end_shadow(name))


@router.get("/serving", summary="What serves, and what a rollback would bring back")
async def serving(service: Running) -> list[ServingAnswer]:
    """List the models in memory."""
    return [ServingAnswer.model_validate(row) for row in await service.serving.listing()]


def _change(change: Change) -> ChangeAnswer:
    return ChangeAnswer.model_validate(asdict(change))


def _shadow(report: dict[str, Any]) -> ShadowAnswer:
    return ShadowAnswer.model_validate(report)
