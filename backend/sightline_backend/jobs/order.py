"""What a job's process is told on its stdin."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline_backend.jobs.job import Job

if TYPE_CHECKING:
    from sightline_backend.jobs.supervisor import JobSettings


def order_of(job: Job, folder: Path, models_dir: Path, settings: JobSettings) -> dict[str, Any]:
    """Return what to do and with what, as JSON can hold it; `folder` is the job's own."""
    work = asdict(settings.work)
    return {
        "job_id": job.id,
        "kind": job.kind,
        "request": job.request,
        "module": settings.modules[job.kind],
        "models_dir": str(models_dir),
        "database_url": settings.database_url,
        "folder": str(folder),
        "give_way": settings.give_way,
        "settings": {**work, "data_dir": work["data_dir"] and str(work["data_dir"])},
    }


def fresh(folder: Path) -> None:
    """Make a job's folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
