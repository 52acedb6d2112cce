"""What benchmarks found: list, export, recommend. `routes/jobs.py` starts them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from sightline_backend.benchmark_export import MEDIA_TYPES, BenchmarkRun, Form, export
from sightline_backend.runs import cells_of, comparable, run_of
from sightline_backend.service import Running, Service
from sightline_engines.benchmark.recommend import Limits, Percentile, recommend

router = APIRouter(prefix="/api/benchmark", tags=["benchmark"])
_MOST_RUNS = 50
JobId = Annotated[int, Field(ge=1)]


class RecommendRequest(BaseModel):
    """Which runs to choose from, and what must be held."""

    model_config = ConfigDict(extra="forbid")

    jobs: list[JobId] = Field(min_length=1, max_length=_MOST_RUNS)
    latency_limit_ms: float = Field(default=100.0, gt=0, le=60_000)
    max_accuracy_loss: float = Field(
        default=0.01, ge=0, le=1, description="mAP50-95 against the fp32 source."
    )
    camera_fps: float = Field(default=15.0, ge=0.01, le=240)
    percentile: Percentile = Field(default="p95", description="Of the latency that must hold.")
    memory_bytes: int | None = Field(default=None, ge=1)


class RunAnswer(BaseModel):
    """A benchmark that is done, or as far as it came."""

    job_id: int
    kind: str
    title: str
    model: str
    state: str
    created_at: str
    request: dict[str, Any]
    host: dict[str, Any]
    dataset: dict[str, Any] | None
    cells: list[dict[str, Any]]
    recommendation: dict[str, Any] | None


@router.get("/runs", summary="The benchmarks that have cells, newest first")
async def runs(
    service: Running,
    model: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = _MOST_RUNS,
) -> list[RunAnswer]:
    """List benchmarks and pipelines, partial ones too."""
    records = service.jobs.records
    jobs = await service.jobs.ask(partial(records.measured, model, limit))
    return [
        RunAnswer(**run_of(job).to_dict(), kind=job.kind, state=job.state, request=job.request)
        for job in jobs
    ]


@router.get("/export", summary="Benchmarks as a file")
async def export_runs(
    service: Running,
    job: Annotated[list[int], Query(min_length=1, max_length=_MOST_RUNS)],
    format: Form = "csv",
) -> Response:
    """Download runs as CSV, JSON, or Excel with sheets for cells, classes and origin."""
    content = await asyncio.to_thread(export, await _runs(service, job), format)
    name = f"sightline-benchmark-{'-'.join(map(str, job[:5]))}.{format}"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)


@router.post("/recommend", summary="The best configuration of some benchmarks")
async def recommend_from(service: Running, asked: RecommendRequest) -> dict[str, Any]:
    """Choose among the cells of several runs, with reasons; nothing is changed.

    409 where the runs are of other models, data sets or machines than each other.
    """
    limits = Limits(**asked.model_dump(exclude={"jobs"}))
    cells = cells_of(comparable(await _runs(service, asked.jobs)))
    found = await asyncio.to_thread(recommend, cells, limits)  # it simulates
    return found.to_dict()


async def _runs(service: Service, ids: list[int]) -> list[BenchmarkRun]:
    records = service.jobs.records
    unique = list(dict.fromkeys(ids))
    jobs = await service.jobs.ask(lambda: [records.job(number) for number in unique])
    return [run_of(job) for job in jobs]
