"""What of the server's settings the jobs' processes are told."""

from __future__ import annotations

from sightline_backend.jobs.supervisor import JobSettings
from sightline_backend.jobs.work.context import WorkSettings
from sightline_backend.settings import Settings


def job_settings(settings: Settings) -> JobSettings:
    """Return how jobs run under these settings."""
    work = WorkSettings(
        data_dir=settings.data_dir,
        allow_pickle=settings.allow_pickle,
        job_timeout_s=settings.job_timeout_s,
        max_model_bytes=settings.max_model_bytes,
        threads=settings.threads,
    )
    return JobSettings(settings.database_url, work)
