"""Labelled data sets: list, upload, delete."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request

from sightline_backend import datasets
from sightline_backend.admin import Admin
from sightline_backend.datasets import DatasetEntry, DatasetTooLargeError
from sightline_backend.service import Running
from sightline_backend.upload import received

router = APIRouter(prefix="/api/datasets", tags=["benchmark"])


class DatasetAnswer(BaseModel):
    """A data set that benchmarks can name."""

    name: str
    kind: Literal["stored", "folder"]
    about: dict[str, Any] = Field(
        description="format, pictures, boxes, classes, missing, sha256; nothing of a folder."
    )


@router.get("", summary="The data sets that can be named")
async def list_all(service: Running) -> list[DatasetAnswer]:
    """List uploaded data sets, and those below SIGHTLINE_DATA_DIR as dir:NAME."""
    found = await asyncio.to_thread(
        datasets.list_datasets, service.store, service.settings.data_dir
    )
    return [_answer(entry) for entry in found]


@router.post("", status_code=201, dependencies=[Admin], summary="Upload a data set")
async def upload(
    service: Running,
    request: Request,
    name: Annotated[str, Query(min_length=1, max_length=64)],
) -> DatasetAnswer:
    """Take a zip of a COCO or YOLO folder as the body, check it and keep it."""
    limit = service.settings.max_dataset_bytes
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > limit:
        raise _too_large(limit)
    await asyncio.to_thread(datasets.refuse_taken, service.store, name)
    models, too_large = service.store.models, _too_large(limit).message
    arriving = received(request, "upload.zip", models, limit, too_large)
    async with arriving as archive, service.dataset_turn:
        entry = await asyncio.to_thread(datasets.add_dataset, service.store, name, archive, limit)
    return _answer(entry)


@router.delete("/{name}", status_code=204, dependencies=[Admin], summary="Delete a data set")
async def remove(service: Running, name: str) -> None:
    """Delete an uploaded data set; figures that were measured on it stay."""
    await asyncio.to_thread(datasets.remove_dataset, service.store, name)


def _too_large(limit: int) -> DatasetTooLargeError:
    return DatasetTooLargeError(
        f"Data sets of up to {limit / 2**20:.0f} MiB are taken; raise "
        "SIGHTLINE_MAX_DATASET_BYTES, or put it below SIGHTLINE_DATA_DIR."
    )


def _answer(entry: DatasetEntry) -> DatasetAnswer:
    return DatasetAnswer(name=entry.name, kind=entry.kind, about=entry.about)
