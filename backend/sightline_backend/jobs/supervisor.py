"""Runs jobs: one child process each, one at a time a device, beside whatever the server does."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Self, TypeVar

from pydantic import ValidationError

from sightline_backend.errors import NotPossibleError, Refused, StoreError
from sightline_backend.jobs.check import check
from sightline_backend.jobs.devices import split
from sightline_backend.jobs.follow import follow, hub_of
from sightline_backend.jobs.job import Job, State
from sightline_backend.jobs.life import Life, all_done
from sightline_backend.jobs.observer import JobObserver
from sightline_backend.jobs.order import fresh, order_of
from sightline_backend.jobs.owner import Owner
from sightline_backend.jobs.pipeline import Pipeline
from sightline_backend.jobs.process import Outcome, run_child
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import JobRequest, Kind, PipelineRequest, read_request
from sightline_backend.jobs.running import RunningJob
from sightline_backend.jobs.turns import Turns
from sightline_backend.jobs.work.context import WorkSettings
from sightline_backend.store.store import Store
from sightline_engines.errors import SightlineError

T = TypeVar("T")

LOOK_EVERY_S = 1.0  # whether another process has cancelled one of ours
LOST_EVERY_S = 10.0  # whether processes are gone that ran some
END_AGAIN_S = 2.0  # at most, before an end is written that could not be stored
WORK: Mapping[Kind, str] = MappingProxyType(
    {
        "convert": "sightline_backend.jobs.work.convert",
        "validate": "sightline_backend.jobs.work.validate",
        "benchmark": "sightline_backend.jobs.work.benchmark",
    }
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What the jobs' processes are told."""

    database_url: str | None = None
    work: WorkSettings = field(default_factory=WorkSettings)
    give_way: bool = True  # to everything else on the machine
    modules: Mapping[Kind, str] = field(
        default_factory=lambda: WORK
    )  # each has `run(request, work)`; tests have their own


class Supervisor:
    """Takes jobs, runs them, and tells who watches; everything is stored as it happens."""

    def __init__(
        self,
        store: Store,
        records: JobRecords,
        settings: JobSettings,
        observers: Sequence[JobObserver] = (),
    ) -> None:
        self._store = store
        self._records = records
        self._settings = settings
        self._observers = observers
        self._owner = Owner(store.jobs_folder)
        self._turns = Turns(store.jobs_folder)
        self._lives: dict[int, Life] = {}
        self._opened = self._stopping = False
        # One thread: what is written about a job is written in order.
        self._desk = ThreadPoolExecutor(1, "jobs")
        self._hub = hub_of(records, self.ask, self._owner.name)
        self._looking: asyncio.Task[None] | None = None

    @property
    def records(self) -> JobRecords:
        """The jobs that are and were."""
        return self._records

    async def __aenter__(self) -> Self:
        """Begin; where the store can't be used that is tried again when a job is asked for."""
        try:
            await self._open()
        except StoreError as error:  # what serves needs no jobs
            log.warning("no jobs can be run: %s", error.message)
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what runs, within five seconds; it can be restarted later."""
        self._stopping = True
        if self._looking is not None:
            self._looking.cancel()
        lives = list(self._lives.values())
        for life in lives:
            life.stop("interrupted")
        await all_done(lives)
        self._hub.close()
        await self.ask(self._owner.release)
        self._desk.shutdown(wait=False)

    @property
    def open_jobs(self) -> tuple[int, int]:
        """How many jobs of this process are in line and at work; pipelines apart."""
        lives = [life for life in self._lives.values() if not life.is_pipeline]
        begun = sum(life.began_s is not None for life in lives)
        return len(lives) - begun, begun

    def silence_s(self, now_s: float) -> float:
        """Return how long the most silent running job has told nothing; 0 where none runs.

        `now_s` is `time.monotonic()`.
        """
        lives = [life for life in self._lives.values() if not life.is_pipeline]
        return max((life.silence_s(now_s) for life in lives), default=0.0)

    async def ask(self, ask: Callable[[], T]) -> T:
        """Run what blocks on the thread for the records; it is done even if we are cancelled."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._desk, ask))

    async def submit(self, kind: Kind, request: JobRequest, parent_id: int | None = None) -> Job:
        """Put a job in line; raises SightlineError if it can't work, before there is one."""
        await self._check_open()
        await asyncio.to_thread(check, self._store, request, self._settings.work.data_dir)
        job = await self._in_line(
            lambda: self._records.add(kind, request, self._owner.name, parent_id)
        )
        self._start(job, request)
        return job

    async def cancel(self, job_id: int) -> Job:
        """End a job and what it started, and wait for that; raises Unknown- or NotPossibleError.

        A job of another process is ended by that one, within a second or two.
        """
        life = self._lives.get(job_id)
        if life is None or life.ending:
            job = await self.ask(lambda: self._records.cancel(job_id))
            self._hub.publish(job)
            return job
        life.stop("cancelled")
        await all_done([life])
        return await self.ask(lambda: self._records.job(job_id))

    async def restart(self, job_id: int) -> Job:
        """Put a job in line again; a pipeline keeps the children that it has finished."""
        await self._check_open()
        life = self._lives.get(job_id)
        if life is not None and life.ending and life.task is not None:
            await asyncio.wait([life.task], timeout=END_AGAIN_S)
        found = await self.ask(lambda: self._records.job(job_id))
        try:
            request = read_request(found.kind, found.request)
        except ValidationError as error:
            raise NotPossibleError(
                f"Job {job_id} was asked for by another release of Sightline: start a new one."
            ) from error
        job = await self._in_line(lambda: self._records.requeue(job_id, self._owner.name))
        self._start(job, request)
        return job

    def subscribe(
        self, job_id: int | None = None, until: Callable[[], bool] = lambda: False
    ) -> AsyncGenerator[Job]:
        """Yield a job's present state and its changes (its children's too), or those of all.

        None of them has the result. Ends with us, and within a second once `until` holds.
        """
        return follow(self._hub, self._records, self.ask, job_id, until)

    def place(self) -> AbstractContextManager[None]:
        """Keep a place for a subscriber from outside; raises Refused where there is none."""
        return self._hub.place()

    async def finished(self, job_id: int, on_event: Callable[[Job], None]) -> Job:
        """Wait until a job has ended, telling of its changes."""
        async with aclosing(self.subscribe(job_id)) as events:
            async for job in events:
                on_event(job)
        return await self.ask(lambda: self._records.job(job_id))

    async def _open(self) -> None:
        """Show that we live, and mark what processes that are gone left behind."""
        try:
            await self.ask(self._owner.take)
            await self._interrupt_lost()
            await self.ask(self._sweep)
        except OSError as error:
            raise StoreError(
                f"The folder {self._store.jobs_folder} can't be used: {error.strerror}. Make it "
                "writable for this user, or name another one in SIGHTLINE_MODELS_DIR."
            ) from error
        self._opened = True

    async def _interrupt_lost(self) -> None:
        """Mark the jobs of processes that are gone."""
        for job in await self.ask(lambda: self._records.interrupt_lost(self._owner.is_alive)):
            log.warning("job %d (%s) was interrupted", job.id, job.title)
            self._hub.publish(job)

    async def _check_open(self) -> None:
        """Raise Refused while we stop, StoreError where nothing can be stored."""
        if self._stopping:
            raise Refused("The server is stopping; try again in a moment.", 5.0, "closing")
        if not self._opened:
            await self._open()

    async def _in_line(self, put: Callable[[], Job]) -> Job:
        """Write a job that waits; if we are cancelled meanwhile it isn't left there for ever."""
        putting = asyncio.ensure_future(self.ask(put))
        try:
            return await asyncio.shield(putting)
        except asyncio.CancelledError:
            job = await putting
            await self.ask(lambda: self._records.end(job.id, self._owner.name, "cancelled", {}))
            raise

    def _start(self, job: Job, request: JobRequest) -> None:
        running = RunningJob(job.id, self._owner.name, self._records, self._hub, self.ask)
        life = self._lives[job.id] = Life(job, running)
        life.task = asyncio.create_task(self._live(life, request), name=f"job {job.id}")
        self._hub.publish(job)

    async def _live(self, life: Life, request: JobRequest) -> None:
        """See a job to its end, and write how it ended, whatever happens."""
        job_id, running = life.job.id, life.running
        writing = asyncio.create_task(running.keep_writing())
        state: State
        try:
            outcome = await self._outcome(life, request)
            state, error = "failed" if outcome.error else "done", outcome.error
            if outcome.result is not None:
                running.partial(outcome.result)
        except asyncio.CancelledError:
            state, error = life.stopped_as or "interrupted", None
            if state == "interrupted":
                error = {"code": "interrupted", "message": "The server was stopped; restart it."}
        except Exception:  # the outermost frame of a job
            log.exception("job %d", job_id)
            state = "failed"
            error = {"code": "internal", "message": "The server failed; its log says why."}
        life.ending = True
        writing.cancel()
        await self._write_end(life, state, error)
        if self._lives.get(job_id) is life:
            del self._lives[job_id]
        seconds = 0.0 if life.began_s is None else time.monotonic() - life.began_s
        for observer in self._observers:
            observer.job_ended(life.job.kind, state, seconds)

    async def _write_end(self, life: Life, state: State, error: dict[str, Any] | None) -> None:
        """Write how a job ended, trying for as long as we live; at a stop for some seconds."""
        wait_s = 0.1
        while not await life.running.end(state, error):
            if self._stopping and wait_s == END_AGAIN_S:
                log.error("job %d is %s, which could not be stored", life.job.id, state)
                return
            await asyncio.sleep(wait_s)
            wait_s = min(END_AGAIN_S, 2 * wait_s)

    async def _outcome(self, life: Life, request: JobRequest) -> Outcome:
        if isinstance(request, PipelineRequest):
            return await self._tree(life, request)
        job_id, devices = life.job.id, split(life.job.device)
        async with self._turns.on(job_id, devices, partial(self._is_next, job_id)):
            await self._begin(life)
            folder = self._store.jobs_folder / str(job_id)
            try:
                await self.ask(lambda: fresh(folder))
                order = order_of(life.job, folder, self._store.folder, self._settings)
                return await run_child(order, life.running, self._settings.work.job_timeout_s)
            finally:
                await self.ask(lambda: shutil.rmtree(folder, ignore_errors=True))

    async def _is_next(self, job_id: int) -> bool:
        try:
            return await self.ask(lambda: self._records.is_next(job_id))
        except SightlineError as error:  # the database may be away for a while
            log.warning("job %d waits: %s", job_id, error.message)
            return False

    async def _tree(self, life: Life, request: PipelineRequest) -> Outcome:
        await self._begin(life)
        try:
            return await Pipeline(self._store, self, life.running, life.job.id, request).run()
        finally:
            children = [one for one in self._lives.values() if one.job.parent_id == life.job.id]
            for child in children:
                child.stop(life.stopped_as or "cancelled")
            await all_done(children)

    async def _begin(self, life: Life) -> None:
        life.began_s = time.monotonic()
        job = await self.ask(lambda: self._records.begin(life.job.id, self._owner.name))
        if job is None:  # ended, or taken over, by another process while it was in line
            life.stopped_as = "cancelled"
            raise asyncio.CancelledError
        self._hub.publish(job)

    async def _look(self) -> None:
        """See what other processes have done to our jobs, and whether they are gone themselves."""
        lost_s = time.monotonic() + LOST_EVERY_S
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._stop_taken()
                if self._opened and time.monotonic() >= lost_s:
                    lost_s = time.monotonic() + LOST_EVERY_S
                    await self._interrupt_lost()
            except Exception:  # the outermost frame: the database may be away for a while
                log.warning("jobs can't be read", exc_info=True)

    async def _stop_taken(self) -> None:
        """End those of our jobs that another process has cancelled, or restarted since."""
        ids = list(self._lives)
        if not ids:
            return
        jobs = await self.ask(self._records.active)
        ours = {job.id for job in jobs if job.owner == self._owner.name}
        for life in [self._lives[i] for i in ids if i in self._lives and i not in ours]:
            life.stop("cancelled")

    def _sweep(self) -> None:
        """Delete the workspaces of jobs that nobody runs."""
        folders = list(self._store.jobs_folder.iterdir())  # before who runs: what comes later stays
        kept = {str(job.id) for job in self._records.active()}
        for folder in folders:
            if folder.name.isdigit() and folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
