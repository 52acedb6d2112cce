"""A tree's own result says what its figures were measured on, so that they can be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sightline_backend.jobs.job import Job
from sightline_backend.jobs.requests import BenchmarkRequest, JobRequest, Kind
from sightline_backend.runs import run_of
from sightline_backend.store.store import Store
from tests.backend.test_jobs_pipeline import Scripted, asked, made_store, run, store

__all__ = ["made_store", "store"]  # fixtures

ABOUT = {"host": {"processor": "x"}, "dataset": {"name": "set", "sha256": "0" * 64}}


class Telling(Scripted):
    """Runs steps that say where they ran, as real ones do."""

    def run(self, job: Job, kind: Kind, request: JobRequest) -> Job:
        ended = super().run(job, kind, request)
        if isinstance(request, BenchmarkRequest):
            return replace(ended, result={**(ended.result or {}), **ABOUT})
        return ended


async def test_a_tree_says_on_what_it_measured(store: Store, tmp_path: Path) -> None:
    runs = Telling(store, tmp_path / "made")
    request = asked(["fp32"], dataset="set")
    job_id = runs.records.add("pipeline", request, "tests").id
    outcome = await run(runs, request, job_id)
    found = run_of(replace(runs.records.job(job_id), result=outcome.result))
    assert {"host": found.host, "dataset": found.dataset} == ABOUT
