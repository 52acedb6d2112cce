"""What the pages ask and tell the detector about jobs, data sets and benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal
from urllib.parse import quote

from sightline_frontend.backend import Backend
from sightline_frontend.job import Job
from sightline_frontend.measured import Dataset, Recommendation, Run
from sightline_frontend.models_api import LOADING_S, pieces
from sightline_frontend.told import told, told_all

Kind = Literal["convert", "validate", "benchmark", "pipeline"]


@dataclass(frozen=True, slots=True)
class WorkApi:
    """The detector's jobs and what they found; every call raises BackendError."""

    backend: Backend

    def start(self, kind: Kind, request: Mapping[str, Any]) -> Job:
        """Start a job."""
        return told(Job.from_dict, self.backend.change("POST", f"/api/{kind}", dict(request)))

    def cancel(self, job_id: int) -> None:
        """End a job."""
        self.backend.change("POST", f"/api/jobs/{job_id}/cancel")

    def restart(self, job_id: int) -> None:
        """Have an ended job done again."""
        self.backend.change("POST", f"/api/jobs/{job_id}/restart")

    def remove(self, job_id: int) -> None:
        """Delete an ended job, its log and its result."""
        self.backend.change("DELETE", f"/api/jobs/{job_id}")

    def log(self, job_id: int) -> str:
        """Return a job's log."""
        return self.backend.file(f"/api/jobs/{job_id}/log").decode("utf-8", "replace")

    def job_result(self, job_id: int) -> Mapping[str, Any]:
        """Return what a job found so far."""
        found = self.backend.read(f"/api/jobs/{job_id}").get("result")
        return found if isinstance(found, dict) else {}

    def datasets(self) -> tuple[Dataset, ...]:
        """Return the data sets that can be named."""
        return told_all(Dataset.from_dict, self.backend.read("/api/datasets"))

    def upload_dataset(
        self, name: str, file: BinaryIO, size: int, progress: Callable[[float], None]
    ) -> None:
        """Send a zip with labelled pictures, a piece at a time."""
        content = pieces(file, size, progress)
        self.backend.send("/api/datasets", content, size, LOADING_S, name=name)

    def remove_dataset(self, name: str) -> None:
        """Delete an uploaded data set."""
        self.backend.change("DELETE", f"/api/datasets/{quote(name, safe='')}")

    def runs(self, model: str | None = None) -> tuple[Run, ...]:
        """Return the benchmarks that have cells, the newest first."""
        return told_all(Run.from_dict, self.backend.read("/api/benchmark/runs", model=model))

    def export(self, jobs: Sequence[int], form: str) -> bytes:
        """Return runs as a csv, json or xlsx file."""
        return self.backend.file("/api/benchmark/export", job=list(jobs), format=form)

    def recommend(
        self, jobs: Sequence[int], latency_limit_ms: float, max_loss: float, camera_fps: float
    ) -> Recommendation:
        """Return the best configuration of some runs, and why."""
        body = {
            "jobs": list(jobs),
            "latency_limit_ms": latency_limit_ms,
            "max_accuracy_loss": max_loss,
            "camera_fps": camera_fps,
        }
        made = self.backend.change("POST", "/api/benchmark/recommend", body)
        return told(Recommendation.from_dict, made)
