"""Run a benchmark as a job of this process, with a bar, until it ends or Ctrl-C is pressed."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sightline_backend.benchmark_export import BenchmarkRun
from sightline_backend.cli.configuration import read_settings
from sightline_backend.cli.console import fail, stderr
from sightline_backend.datasets import FOLDER
from sightline_backend.errors import ReportedError
from sightline_backend.jobs.job import Job
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import BenchmarkRequest
from sightline_backend.jobs.supervisor import JobSettings, Supervisor
from sightline_backend.jobs.work.context import WorkSettings
from sightline_backend.models.names import name_from
from sightline_backend.runs import run_of
from sightline_backend.store.store import Store, open_store


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for; lists are words as they were typed."""

    model: str
    data: str | None
    engines: tuple[str, ...]
    precisions: tuple[str, ...]
    batches: tuple[str, ...]
    input_sizes: tuple[tuple[int, int], ...]
    instances: tuple[str, ...]
    device: str | None
    seconds: float
    most_pictures: int | None
    artefact: int | None = None  # its number in this machine's store


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it."""

    run: BenchmarkRun
    failed: bool
    problem: str | None  # a sentence, where it ended before its end


def measured(asked: Asked) -> Measured:
    """Measure, showing how far it is; raises SightlineError where nothing was begun.

    A file runs from a store of its own that is deleted afterwards; a name from this machine's.
    """
    settings = read_settings()
    with ExitStack() as stack:
        store, url = open_store(settings.models_dir, settings.database_url), settings.database_url
        model, data_dir, dataset = asked.model, settings.data_dir, asked.data
        if Path(model).suffix and Path(model).is_file():
            if asked.artefact is not None:
                fail(f"{model} is a file; --artefact goes with the name of a stored model.")
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sightline-"))
            store, url = open_store(Path(folder)), None
            model = store.models.add(Path(model), name_from(Path(model).stem)).name
        stack.callback(store.close)
        if dataset is not None and Path(dataset).exists():
            place = Path(dataset).resolve()  # a path of the command line may lie anywhere
            data_dir, dataset = place.parent, FOLDER + place.name
        work = WorkSettings(
            data_dir=data_dir,
            allow_pickle=settings.allow_pickle,
            job_timeout_s=settings.job_timeout_s,
            max_model_bytes=settings.max_model_bytes,
            threads=settings.threads,
        )
        request = _request(asked, model, dataset, store)
        # At normal priority: somebody waits for the figures, and no live traffic is served here.
        job = asyncio.run(_followed(store, request, JobSettings(url, work, give_way=False)))
        run = run_of(job)
    if job.state == "failed" and not run.cells:
        error = job.error or {}
        raise ReportedError(str(error.get("code")), str(error.get("message")))
    return Measured(run, job.state == "failed", _problem(job, run))


def _request(asked: Asked, model: str, dataset: str | None, store: Store) -> BenchmarkRequest:
    one = None if asked.artefact is None else store.models.artefact(asked.artefact)
    values: dict[str, Any] = {
        "model": model,
        "version": one.version if one else None,
        "artefact_id": one.id if one else None,
        "engines": asked.engines,
        "precisions": asked.precisions,
        "batches": asked.batches,
        "input_sizes": asked.input_sizes,
        "instances": asked.instances,
        "dataset": dataset,
        "most_pictures": asked.most_pictures,
        "seconds": asked.seconds,
        "device": asked.device,
    }
    try:
        return BenchmarkRequest(**values)
    except ValidationError as error:
        problems = [
            f"{' '.join(map(str, e['loc']))}: {e['msg']}, not {e['input']!r}"
            for e in error.errors()
        ]
        fail("; ".join(problems))


async def _followed(store: Store, request: BenchmarkRequest, settings: JobSettings) -> Job:
    """Run the job to its end; the first Ctrl-C cancels it, and what it found stays."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    records = JobRecords(store.database)
    text = TextColumn("{task.description}", markup=False)
    columns = (BarColumn(), TaskProgressColumn(), Elapsed(), text)
    async with Supervisor(store, records, settings) as supervisor:
        job = await supervisor.submit("benchmark", request)
        cancelling: list[asyncio.Task[Job]] = []

        def cancel() -> None:
            if not cancelling:
                cancelling.append(asyncio.create_task(supervisor.cancel(job.id)))

        with suppress(NotImplementedError):  # Windows: Ctrl-C ends the program at once
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, cancel)
        with Progress(
            *columns, console=stderr, transient=True, disable=not stderr.is_terminal
        ) as bars:
            bar = bars.add_task("", total=1.0)

            def show(now: Job) -> None:
                bars.update(bar, completed=now.progress, description=now.doing)

            ended = await supervisor.finished(job.id, show)
        await asyncio.gather(*cancelling)
        return ended


def _problem(job: Job, run: BenchmarkRun) -> str | None:
    if job.state == "done":
        return None
    if job.state == "cancelled":
        return f"Stopped; {len(run.cells)} cells were measured."
    return f"{(job.error or {}).get('message', 'It failed.')} {len(run.cells)} cells were measured."
