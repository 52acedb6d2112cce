"""/api/models: what can be asked for, what is stored of it, and all that changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from sightline_backend.admin import Admin
from sightline_backend.datasets import mend_datasets
from sightline_backend.errors import InUseError, NotAllowedError, UnknownError
from sightline_backend.model_answers import (
    ConversionAnswer,
    ListedModel,
    ModelDetail,
    ScanAnswer,
    listed_checkpoint,
    listed_model,
    model_detail,
    scan_answer,
)
from sightline_backend.model_upload import UploadFields, add_upload, check_upload
from sightline_backend.service import Running, Service
from sightline_backend.serving.listing import rollback_to
from sightline_backend.store.store import Store
from sightline_backend.store.texts import DESCRIPTION_LENGTH
from sightline_backend.upload import received
from sightline_backend.zipped import download_files, download_name
from sightline_engines.errors import SightlineError
from sightline_engines.types import Format

router = APIRouter(prefix="/api", tags=["models"])

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILE_BODY = {"requestBody": {"content": {"application/octet-stream": _BINARY}, "required": True}}


class ModelChange(BaseModel):
    """What is to be said of a model from now on."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    description: str | None = Field(None, max_length=DESCRIPTION_LENGTH)


@router.get("/models", summary="The models of this server, its default first")
async def models(service: Running) -> list[ListedModel]:
    """List every model by the name that `model` takes; `loaded` ones answer at once.

    Those of format `pt` come last: they can't be asked for before they are converted.
    """
    default = service.pool.default.spec.name
    loaded = service.pool.loaded
    stored = await asyncio.to_thread(service.store.models.summaries)
    specs = await service.pool.specs()
    can_run = [
        listed_model(
            spec,
            stored.get(spec.name, ("", 0)),
            loaded=spec.name in loaded,
            default=spec.name == default,
        )
        for spec in specs
    ]
    others = stored.keys() - {spec.name for spec in specs}
    return can_run + await asyncio.to_thread(_checkpoints, service.store, others)


@router.post(
    "/models",
    status_code=201,
    summary="Add a model, or a version of one",
    dependencies=[Admin],
    openapi_extra=_FILE_BODY,
)
async def add_model(
    request: Request, service: Running, fields: Annotated[UploadFields, Query()]
) -> ModelDetail:
    """Send the file as the body; a new version serves once it is promoted.

    `curl --data-binary @my.onnx 'http://127.0.0.1:8000/api/models?filename=my.onnx&licence=MIT'`
    """
    store, pickles = service.store.models, service.settings.allow_pickle
    await asyncio.to_thread(check_upload, fields, store, allow_pickle=pickles)
    most = service.settings.max_model_bytes
    too_large = f"A model may have {most} bytes at most."
    arriving = received(request, fields.file_name, store, most, too_large)
    async with arriving as file, service.model_turn:
        name = await asyncio.to_thread(add_upload, file, fields, store, allow_pickle=pickles)
    return await _detail(service, name)


@router.post("/models/scan", summary="Mend the store from its folder", dependencies=[Admin])
async def scan(service: Running) -> ScanAnswer:
    """Bring back what the database lost, delete what belongs to nothing, name what is broken."""
    report = await asyncio.to_thread(service.store.models.scan)
    await asyncio.to_thread(mend_datasets, service.store)
    return scan_answer(report)


@router.get("/models/{name}", summary="All that is stored of a model")
async def model(name: str, service: Running) -> ModelDetail:
    """Return a model's versions, their artefacts and what was measured of each."""
    return await _detail(service, name)


@router.patch("/models/{name}", summary="Rename or describe a model", dependencies=[Admin])
async def change_model(name: str, change: ModelChange, service: Running) -> ModelDetail:
    """Change what is given; a model that is loaded keeps its name."""
    store = service.store.models
    if change.name is not None and change.name != name:
        _refuse_loaded(service, name)
        await asyncio.to_thread(store.rename, name, change.name)
        name = change.name
    if change.description is not None:
        await asyncio.to_thread(store.describe, name, change.description)
    return await _detail(service, name)


@router.delete("/models/{name}", status_code=204, summary="Delete a model", dependencies=[Admin])
async def remove_model(name: str, service: Running) -> None:
    """Delete a model with its versions, unless it is loaded or a job works on it."""
    _refuse_loaded(service, name)
    await asyncio.to_thread(service.store.models.remove, name)


@router.delete(
    "/models/{name}/versions/{number}",
    status_code=204,
    summary="Delete a version",
    dependencies=[Admin],
)
async def remove_version(name: str, number: int, service: Running) -> None:
    """Delete a version with its artefacts, unless one of them serves or is worked on."""
    await asyncio.to_thread(service.store.models.remove_version, name, number)


@router.delete(
    "/artefacts/{artefact_id}", status_code=204, summary="Delete an artefact", dependencies=[Admin]
)
async def remove_artefact(artefact_id: int, service: Running) -> None:
    """Delete an artefact, unless it serves or is worked on."""
    await asyncio.to_thread(service.store.models.remove_artefact, artefact_id)


@router.get("/artefacts/{artefact_id}/file", summary="Download an artefact")
async def artefact_file(artefact_id: int, service: Running) -> Response:
    """Return the file; an OpenVINO model's two files come as a zip."""
    artefact = await asyncio.to_thread(service.store.models.artefact, artefact_id)
    if artefact.format is Format.TORCH and not service.settings.allow_pickle:
        raise NotAllowedError(
            "Checkpoints are not handed out: who opens one may run a program. "
            "SIGHTLINE_ALLOW_PICKLE=true allows it."
        )
    if not await asyncio.to_thread(artefact.path.is_file):
        raise UnknownError(
            f"The file of artefact {artefact_id} is gone; `sightline models scan` says what else "
            "is missing."
        )
    name = download_name(artefact)
    safe = {"x-content-type-options": "nosniff"}
    if artefact.format is not Format.OPENVINO:
        kind = "application/octet-stream"
        return FileResponse(artefact.path, media_type=kind, filename=name, headers=safe)
    safe["content-disposition"] = f'attachment; filename="{name}"'
    return StreamingResponse(download_files(artefact), media_type="application/zip", headers=safe)


@router.get("/conversions", summary="What can be made of a model on this machine")
async def conversions() -> list[ConversionAnswer]:
    """List formats and precisions, with the reason for those that can't be made here."""
    return await asyncio.to_thread(_conversions)


def _conversions() -> list[ConversionAnswer]:
    from sightline_engines.convert.convert import can_make

    return [
        ConversionAnswer(format=kind, precision=precision, why_not=can_make(kind, precision))
        for kind in (Format.ONNX, Format.OPENVINO, Format.TENSORRT)
        for precision in ("fp32", "fp16", "int8")
    ]


async def _detail(service: Service, name: str) -> ModelDetail:
    store: Store = service.store
    found = await asyncio.to_thread(store.models.model, name)
    measured = await asyncio.to_thread(store.measurements.of_model, name)
    promotions = await asyncio.to_thread(store.promotions.history, name)
    before = await asyncio.to_thread(rollback_to, store, found)
    loaded = found.name in service.pool.loaded
    return model_detail(found, measured, promotions, before, loaded=loaded)


def _checkpoints(store: Store, names: Collection[str]) -> list[ListedModel]:
    """Return those of the names of which nothing can run; broken models are left out."""
    found = []
    for name in sorted(names, key=str.casefold):
        with suppress(SightlineError):  # removed meanwhile, or broken: `sightline models` says so
            model = store.models.model(name)
            if model.active is None:
                found.append(listed_checkpoint(model))
    return found


def _refuse_loaded(service: Service, name: str) -> None:
    if name in service.pool.loaded:
        raise InUseError(
            f"{name} is loaded in this server and may be serving. Wait until it makes room for "
            "another model, or restart the server without it."
        )
