"""What a job costs the streams beside it: the same loads without one and with one, in turn.

The job is a benchmark of the model that serves: it computes without a pause, as the heaviest do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.load.report import LoadReport
from benchmarks.load.run import run_load
from benchmarks.serving.plan import BenchmarkError, Plan
from benchmarks.serving.rounds import streams_for
from benchmarks.serving.server import Server

START_S = 300.0  # a job beside full load is given little


@dataclass(frozen=True, slots=True)
class Beside:
    """A load without a job and with one, from the same server within the same minute."""

    load: str
    without: LoadReport
    with_job: LoadReport

    @property
    def goodput(self) -> float:
        """Frames a second answered in time with a job, divided by those without."""
        return self.with_job.goodput / max(1e-9, self.without.goodput)

    @property
    def p99(self) -> float:
        """The p99 of result age with a job, divided by that without."""
        return self.with_job.age_ms.p99 / max(1e-9, self.without.age_ms.p99)


def beside_a_job(plan: Plan, roofline: float, deadline_ms: float) -> list[Beside]:
    """Put half and full load on a server, each without and with a job, a few times."""
    found = []
    with Server(plan, deadline_ms) as server:
        for number in range(plan.rounds):
            for load in ("half", "full"):
                streams = streams_for(load, roofline)
                spec = plan.load(server.url, streams, deadline_ms, seed=number + 1)
                without = run_load(spec)
                with job(server.http, plan.model):
                    with_job = run_load(spec)
                found.append(Beside(load, without, with_job))
    return found


@contextmanager
def job(url: str, model: str) -> Iterator[int]:
    """Have a job compute during the block; nothing of it is left afterwards."""
    asked = {"model": model, "engines": ["onnxruntime"], "precisions": ["fp32"], "seconds": 600}
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        job_id = int(_answer(http.post("/api/benchmark", json=asked))["id"])
        try:
            _wait_until_it_computes(http, job_id)
            yield job_id
            if (state := _job(http, job_id)["state"]) != "running":
                raise BenchmarkError(f"The job beside the load was {state} before its end.")
        finally:
            http.post(f"/api/jobs/{job_id}/cancel")
            http.delete(f"/api/jobs/{job_id}")


def _wait_until_it_computes(http: httpx.Client, job_id: int) -> None:
    until_s = time.monotonic() + START_S
    while "onnxruntime" not in (now := _job(http, job_id))["doing"]:
        if now["state"] not in {"queued", "running"}:
            raise BenchmarkError(f"The job beside the load is {now['state']}: {now['error']}.")
        if time.monotonic() > until_s:
            raise BenchmarkError(f"The job beside the load did not begin in {START_S:g} s.")
        time.sleep(0.1)


def _job(http: httpx.Client, job_id: int) -> dict[str, Any]:
    return _answer(http.get(f"/api/jobs/{job_id}"))


def _answer(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise BenchmarkError(f"No job can be run beside the load: {answer.text[:500]}")
    found: dict[str, Any] = answer.json()
    return found
