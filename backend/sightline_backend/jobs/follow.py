"""How a job goes on, as a stream of its states: from this process at once, from others by looking.

No state has the job's result, which may be large: who wants it reads the job once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from sightline_backend.jobs.events import LOOK_EVERY_S, Hub
from sightline_backend.jobs.job import Job
from sightline_backend.jobs.records import JobRecords

T = TypeVar("T")


class Ask(Protocol):
    """Runs what blocks elsewhere, and waits for it."""

    def __call__(self, ask: Callable[[], T], /) -> Awaitable[T]: ...


def hub_of(records: JobRecords, ask: Ask, owner: str = "") -> Hub:
    """Return a hub that looks at the jobs of all but one owner, who tells of its own."""

    async def look(waited_for: Collection[int]) -> tuple[Sequence[Job], Collection[int]]:
        return await ask(partial(_others, records, owner, waited_for))

    return Hub(look)


async def follow(
    hub: Hub,
    records: JobRecords,
    ask: Ask,
    job_id: int | None,
    until: Callable[[], bool] = lambda: False,
) -> AsyncGenerator[Job]:
    """Yield the present state, then each change; of one job also its children's, until its end.

    A reader that is slow gets the newest state of each job and none in between. It ends, too,
    when the hub closes, and within a second once `until` holds. Raises UnknownError.
    """
    with hub.watching(job_id) as watcher:
        jobs = await ask(partial(_present, records, job_id))
        while True:
            # Parents last: a watcher of a tree hears of every end before it stops.
            for job in sorted(jobs, key=lambda job: job.id == job_id):
                if not watcher.is_new(job):
                    continue
                yield job
                if job.id == job_id and job.ended:
                    return
            if hub.closed or watcher.lost or until():
                return
            jobs = await watcher.news(LOOK_EVERY_S)


def _present(records: JobRecords, job_id: int | None) -> list[Job]:
    if job_id is None:
        return list(records.active())
    tree = records.job(job_id)
    return [replace(job, result=None, children=()) for job in (*tree.children, tree)]


def _others(
    records: JobRecords, owner: str, waited_for: Collection[int]
) -> tuple[Sequence[Job], Collection[int]]:
    """Return the jobs of others that wait, run, or have just ended, and which aren't there."""
    active = records.active()
    rest = set(waited_for) - {job.id for job in active}
    ended = records.some(rest) if rest else ()
    jobs = [job for job in (*ended, *active) if job.owner != owner]
    return jobs, rest - {job.id for job in ended}
