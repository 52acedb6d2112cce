"""Jobs: start, watch, cancel and restart them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from starlette.responses import PlainTextResponse, Response

from sightline_backend.admin import Admin
from sightline_backend.jobs.job import Job, State
from sightline_backend.jobs.requests import (
    BenchmarkRequest,
    ConvertRequest,
    Kind,
    PipelineRequest,
    ValidateRequest,
)
from sightline_backend.service import Running, Service

router = APIRouter(prefix="/api", tags=["jobs"])


class JobErrorAnswer(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class JobAnswer(BaseModel):
    """A job, and the jobs that it started."""

    id: int
    parent_id: int | None
    kind: Kind
    title: str
    device: str = Field(description="All that it needs, one job at a time: cpu, cpu cuda:0.")
    state: State
    progress: float = Field(description="0 to 1.")
    doing: str
    request: dict[str, Any]
    result: dict[str, Any] | None = Field(
        description="What is there so far, until it is done; of `GET /api/jobs/{id}` alone."
    )
    error: JobErrorAnswer | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    children: list[JobAnswer]


@router.post("/convert", status_code=202, dependencies=[Admin], summary="Convert a model")
async def convert(service: Running, asked: ConvertRequest) -> JobAnswer:
    """Start a job that makes an artefact of another format or precision."""
    return _answer(await service.jobs.submit("convert", asked))


@router.post("/validate", status_code=202, dependencies=[Admin], summary="Measure accuracy")
async def validate(service: Running, asked: ValidateRequest) -> JobAnswer:
    """Start a job that measures an artefact's accuracy on a data set."""
    return _answer(await service.jobs.submit("validate", asked))


@router.post("/benchmark", status_code=202, dependencies=[Admin], summary="Measure speed")
async def benchmark(service: Running, asked: BenchmarkRequest) -> JobAnswer:
    """Start a job that measures engines, precisions and batch sizes."""
    return _answer(await service.jobs.submit("benchmark", asked))


@router.post("/pipeline", status_code=202, dependencies=[Admin], summary="Convert and test")
async def pipeline(service: Running, asked: PipelineRequest) -> JobAnswer:
    """Start a tree of jobs that ends with a recommendation."""
    return _answer(await service.jobs.submit("pipeline", asked))


@router.get("/jobs", summary="The jobs, newest first")
async def jobs(
    service: Running,
    kind: Kind | None = None,
    state: State | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> list[JobAnswer]:
    """List jobs, without results; those that another one started are its `children`."""
    records = service.jobs.records
    found = await service.jobs.ask(lambda: records.jobs(kind, state, limit))
    return [_answer(job) for job in found]


async def _place(service: Running) -> AsyncIterator[None]:
    """Keep a place among those that follow jobs, to the stream's end; raises Refused."""
    with service.jobs.place():
        yield


Place = Depends(_place)


@router.get(
    "/jobs/events",
    response_class=EventSourceResponse,
    dependencies=[Place],
    summary="All jobs, as they change",
)
async def all_events(service: Running) -> AsyncIterator[ServerSentEvent]:
    """Send an event `job` for each that waits or runs, then one for each change; no results."""
    async with aclosing(service.jobs.subscribe(until=_stopping(service))) as changes:
        async for job in changes:
            yield _sent(job)


@router.get("/jobs/{job_id}", summary="One job")
async def job(service: Running, job_id: int) -> JobAnswer:
    """Return a job with its children."""
    return _answer(await service.jobs.ask(lambda: service.jobs.records.job(job_id)))


@router.get("/jobs/{job_id}/log", response_class=PlainTextResponse, summary="A job's log")
async def log(service: Running, job_id: int) -> str:
    """Return the last 5,000 lines that the job wrote."""
    return await service.jobs.ask(lambda: service.jobs.records.log(job_id))


async def _known(service: Running, job_id: int) -> int:
    """Raise UnknownError while there is still time to answer with it."""
    await service.jobs.ask(lambda: service.jobs.records.job(job_id))
    return job_id


@router.get(
    "/jobs/{job_id}/events",
    response_class=EventSourceResponse,
    dependencies=[Place],
    summary="One job and its children, as they change",
)
async def events(
    service: Running, job_id: Annotated[int, Depends(_known)]
) -> AsyncIterator[ServerSentEvent]:
    """Send an event `job` for the present state and each change, until the job has ended.

    No event has a result: `GET /api/jobs/{id}` has it.
    """
    async with aclosing(service.jobs.subscribe(job_id, _stopping(service))) as changes:
        async for job in changes:
            yield _sent(job)


@router.post("/jobs/{job_id}/cancel", dependencies=[Admin], summary="End a job")
async def cancel(service: Running, job_id: int) -> JobAnswer:
    """End a job and what it started; answered once nothing of it runs any more."""
    return _answer(await service.jobs.cancel(job_id))


@router.post(
    "/jobs/{job_id}/restart", status_code=202, dependencies=[Admin], summary="Run a job again"
)
async def restart(service: Running, job_id: int) -> JobAnswer:
    """Restart what failed, was cancelled or interrupted; a pipeline keeps what it has."""
    return _answer(await service.jobs.restart(job_id))


@router.delete(
    "/jobs/{job_id}", status_code=204, dependencies=[Admin], summary="Forget an ended job"
)
async def remove(service: Running, job_id: int) -> Response:
    """Delete a job, its children and their logs; what they made stays.

    A run that measured is no longer among the benchmarks; each artefact keeps its figures.
    """
    await service.jobs.ask(lambda: service.jobs.records.remove(job_id))
    return Response(status_code=204)


def _stopping(service: Service) -> Callable[[], bool]:
    """Return what tells whether streams have to end: the server waits for them before it stops."""
    return lambda: service.sessions.stopping


def _answer(job: Job) -> JobAnswer:
    return JobAnswer.model_validate(job.to_dict())


def _sent(job: Job) -> ServerSentEvent:
    return ServerSentEvent(event="job", data=job.to_dict())
