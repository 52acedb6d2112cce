"""GET /api/models: what can be asked for."""

from __future__ import annotations

from fastapi import APIRouter

from sightline_backend.schemas import ModelAnswer, Thresholds
from sightline_backend.service import Running
from sightline_engines.types import ModelSpec

router = APIRouter(prefix="/api", tags=["models"])


@router.get("/models", summary="The models this server can use, its default first")
async def models(service: Running) -> list[ModelAnswer]:
    """List every model by the name that `model` takes; `loaded` ones answer at once."""
    default = service.pool.default.spec.name
    loaded = service.pool.loaded
    return [
        _answer(spec, loaded=spec.name in loaded, default=spec.name == default)
        for spec in await service.pool.specs()
    ]


def _answer(spec: ModelSpec, *, loaded: bool, default: bool) -> ModelAnswer:
    thresholds = spec.postprocess
    return ModelAnswer(
        name=spec.name,
        version=spec.version,
        family=spec.family,
        precision=spec.precision,
        labels=list(spec.labels),
        input_size_wh=spec.input_size_wh,
        defaults=Thresholds(
            conf=thresholds.conf, iou=thresholds.iou, max_detections=thresholds.max_detections
        ),
        licence=spec.licence,
        source=spec.source,
        loaded=loaded,
        default=default,
    )
