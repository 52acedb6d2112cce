"""Finished and partial benchmarks, read back from their jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sightline_backend.benchmark_export import BenchmarkRun
from sightline_backend.errors import NotPossibleError
from sightline_backend.jobs.job import Job
from sightline_backend.jobs.records import MEASURING
from sightline_engines.benchmark.cells import CellResult


def run_of(job: Job) -> BenchmarkRun:
    """Return what a job measured so far; raises NotPossibleError for one that doesn't measure."""
    if job.kind not in MEASURING:
        raise NotPossibleError(f"Job {job.id} is a {job.kind}: it has no cells to show.")
    result = job.result or {}
    return BenchmarkRun(
        job.id,
        job.title,
        str(job.request.get("model", "")),
        job.created_at.isoformat(),
        [CellResult.from_dict(cell) for cell in result.get("cells", ())],
        result.get("host") or {},
        result.get("dataset"),
        result.get("recommendation"),
    )


def cells_of(runs: Sequence[BenchmarkRun]) -> list[CellResult]:
    """Return the cells of several runs, in order."""
    return [cell for run in runs for cell in run.cells]


def comparable(runs: Sequence[BenchmarkRun]) -> Sequence[BenchmarkRun]:
    """Return runs whose figures can be compared with each other.

    They are of one model, on the same labelled pictures, on one machine; a run that doesn't say
    on what it was measured is taken for the same. Raises NotPossibleError that says which differ.
    """
    for what, of in (("model", _model), ("data set", _dataset), ("machine", _machine)):
        found: dict[Any, tuple[str, list[int]]] = {}
        for run in runs:
            key, shown = of(run)
            if key is not None:
                found.setdefault(key, (shown, []))[1].append(run.job_id)
        if len(found) > 1:
            listed = "; ".join(
                f"{shown} (job{'s' if len(jobs) > 1 else ''} {', '.join(map(str, jobs))})"
                for shown, jobs in found.values()
            )
            raise NotPossibleError(
                f"These runs can't be compared, each has another {what}: {listed}. Choose runs "
                f"with the same {what}."
            )
    return runs


def _model(run: BenchmarkRun) -> tuple[Any, str]:
    return run.model, run.model


def _dataset(run: BenchmarkRun) -> tuple[Any, str]:
    """Return what tells a run's labelled pictures from others, None if it had none."""
    about = run.dataset or {}
    for name, pictures, sha256 in (
        (about.get("name"), about.get("pictures"), about.get("sha256")),
        *((a.dataset, a.pictures, a.dataset_sha256) for c in run.cells if (a := c.accuracy)),
    ):
        if sha256:
            return sha256, f"{name}, {pictures} pictures, {str(sha256)[:8]}"
    return None, ""


def _machine(run: BenchmarkRun) -> tuple[Any, str]:
    """Return what a machine's speed hangs on, None where the run doesn't say."""
    if not run.host:
        return None, ""
    processor, count = run.host.get("processor"), run.host.get("processors")
    gpus = tuple(run.host.get("gpus") or ())
    shown = ", ".join([f"{count} x {processor}", *gpus])
    return (processor, count, gpus), shown
