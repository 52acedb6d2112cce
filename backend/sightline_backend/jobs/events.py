"""Who watches jobs: each gets the newest state of each, however slowly it reads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeAlias

from sightline_backend.errors import Refused
from sightline_backend.jobs.job import Job

MOST_WAITING = 200  # jobs that a watcher hasn't heard of yet; the oldest of them are left out
MOST_PLACES = 64  # for watchers from outside
LOOK_EVERY_S = 1.0  # at jobs that other processes run

# Given the jobs that somebody waits for: how those of other processes are, which aren't there.
Look: TypeAlias = Callable[[Collection[int]], Awaitable[tuple[Sequence[Job], Collection[int]]]]

log = logging.getLogger(__name__)


class Watcher:
    """What one subscriber hasn't been told yet: one state a job, the newest."""

    def __init__(self, job_id: int | None) -> None:
        self._job_id = job_id
        self._told: dict[int, Job] = {}
        self._waiting: dict[int, Job] = {}
        self._something = asyncio.Event()
        self.lost = False  # whether the job was deleted

    @property
    def open(self) -> set[int]:
        """The jobs that it heard of and whose end it hasn't."""
        return {job.id for job in self._told.values() if not job.ended}

    def tell(self, job: Job) -> None:
        """Keep a job's state, in place of an older one."""
        if self._job_id not in (None, job.id, job.parent_id):
            return
        self._waiting[job.id] = job
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._something.set()

    def is_new(self, job: Job) -> bool:
        """Tell whether the subscriber doesn't know this state; from now on it does."""
        if self._told.get(job.id) == job:
            return False
        self._told[job.id] = job
        if self._job_id is None and job.ended:
            del self._told[job.id]
        return True

    def forget(self, job_id: int) -> None:
        """Note that a job is gone."""
        self._told.pop(job_id, None)
        if job_id == self._job_id:
            self.lost = True
            self.wake()

    def wake(self) -> None:
        """Have `news` return, with or without any."""
        self._something.set()

    async def news(self, patience_s: float) -> list[Job]:
        """Wait for changes, for so long at most, and return them."""
        try:
            async with asyncio.timeout(patience_s):
                await self._something.wait()
        except TimeoutError:
            return []
        self._something.clear()
        jobs, self._waiting = list(self._waiting.values()), {}
        return jobs


class Hub:
    """Tells all watchers what changes; on the event loop.

    Of this process's jobs it is told; while anybody watches it looks after those of others.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._looking: asyncio.Task[None] | None = None
        self._watchers: set[Watcher] = set()
        self._places = 0
        self.closed = False

    def __len__(self) -> int:
        return len(self._watchers)

    def publish(self, job: Job) -> None:
        """Tell everybody whom it concerns, without the result; never waits."""
        job = replace(job, result=None, children=())
        for watcher in self._watchers:
            watcher.tell(job)

    def close(self) -> None:
        """Send all watchers home, with what they haven't heard yet."""
        self.closed = True
        self._stop_looking()
        for watcher in self._watchers:
            watcher.wake()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Keep a place for a watcher from outside; raises Refused where there is none."""
        if self._places >= MOST_PLACES:
            raise Refused(
                f"{MOST_PLACES} clients follow jobs already. Close a page, or try again later.",
                5.0,
                "streams",
            )
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    @contextmanager
    def watching(self, job_id: int | None) -> Iterator[Watcher]:
        """Hear of a job and its children, or of all, during the block."""
        watcher = Watcher(job_id)
        self._watchers.add(watcher)
        if self._looking is None and not self.closed:
            self._looking = asyncio.create_task(self._keep_looking(), name="look at jobs")
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                self._stop_looking()

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _keep_looking(self) -> None:
        """Tell of the jobs of other processes: one look for all watchers."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            waited_for = {job_id for watcher in self._watchers for job_id in watcher.open}
            try:
                jobs, gone = await self._look(waited_for)
            except Exception:  # the outermost frame: the database may be away for a while
                log.warning("jobs can't be read", exc_info=True)
                continue
            for job in jobs:
                self.publish(job)
            for watcher in self._watchers:
                for job_id in gone:
                    watcher.forget(job_id)
