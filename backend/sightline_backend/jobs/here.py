"""One job in this process: what the command line runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sightline_backend.jobs.job import Job
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import JobRequest, Kind
from sightline_backend.jobs.supervisor import JobSettings, Supervisor
from sightline_backend.store.store import Store

OnEvent = Callable[[Job], None]


def run_here(
    store: Store, kind: Kind, request: JobRequest, on_event: OnEvent, settings: JobSettings
) -> Job:
    """Run a job to its end and return it with its children; on_event hears of each change.

    Blocks. Raises SightlineError if the job can't work, and KeyboardInterrupt at Ctrl-C, when
    the job has been cancelled and nothing of it is left.
    """

    async def begin(supervisor: Supervisor) -> Job:
        return await supervisor.submit(kind, request)

    return asyncio.run(_run(store, begin, on_event, settings))


def restart_here(store: Store, job_id: int, on_event: OnEvent, settings: JobSettings) -> Job:
    """Run a job again that failed or was stopped, as `run_here` does."""

    async def begin(supervisor: Supervisor) -> Job:
        return await supervisor.restart(job_id)

    return asyncio.run(_run(store, begin, on_event, settings))


async def _run(
    store: Store,
    begin: Callable[[Supervisor], Awaitable[Job]],
    on_event: OnEvent,
    settings: JobSettings,
) -> Job:
    async with Supervisor(store, JobRecords(store.database), settings) as supervisor:
        job = await begin(supervisor)
        try:
            return await supervisor.finished(job.id, on_event)
        except asyncio.CancelledError:
            await supervisor.cancel(job.id)
            raise
