"""What the commands that run a job share: run it with bars, and say how it ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from sightline_backend.cli.console import fail, plain_errors, stderr

if TYPE_CHECKING:
    from pydantic import BaseModel

    from sightline_backend.jobs.here import OnEvent
    from sightline_backend.jobs.job import Job
    from sightline_backend.jobs.requests import JobRequest, Kind
    from sightline_backend.settings import Settings
    from sightline_backend.store.store import Store

R = TypeVar("R", bound="BaseModel")


def request_of(kind: type[R], **given: Any) -> R:
    """Build a request from options; ends with status 2 and a sentence if one is wrong."""
    from pydantic import ValidationError

    try:
        return kind.model_validate(given)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        stderr.print("error: " + "; ".join(problems), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None


def run_job(
    store: Store, kind: Kind, request: JobRequest, settings: Settings, *, kept: bool = True
) -> Job:
    """Run a job in this process, showing bars; ends with status 1 unless it is done.

    `kept` says whether the store, and with it the job's log, outlives the command.
    """
    from sightline_backend.jobs.here import run_here
    from sightline_backend.jobs.settings import job_settings

    told = job_settings(settings)
    return show(lambda on_event: run_here(store, kind, request, on_event, told), kept=kept)


def show(run: Callable[[OnEvent], Job], *, kept: bool = True) -> Job:
    """Run what tells of jobs, with bars; ends with status 1, at Ctrl-C 130, unless it is done."""
    from sightline_backend.cli.progress_bars import job_bars

    try:
        with plain_errors(), job_bars() as bars:
            job = run(bars.show)
    except KeyboardInterrupt:
        stderr.print("Cancelled; nothing of the job is left.")
        raise typer.Exit(130) from None
    if job.state != "done":
        said = (job.error or {}).get("message", "")
        where = f" `sightline jobs log {job.id}` shows its log." if kept else ""
        fail(f"{job.title}: {job.state}. {said}{where}")
    return job


def named_dataset(settings: Settings, data: str | None) -> tuple[Settings, str | None]:
    """Return a data set by the name that jobs know it by: a folder that is named is let in."""
    folder = Path(data) if data is not None else None
    if folder is None or not folder.is_dir():
        return settings, data
    folder = folder.resolve()
    return settings.model_copy(update={"data_dir": folder.parent}), f"dir:{folder.name}"
