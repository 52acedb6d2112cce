"""Convert and test: one request becomes a tree of jobs, and a recommendation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sightline_backend.jobs.check import version_of
from sightline_backend.jobs.job import Job
from sightline_backend.jobs.process import Outcome
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import (
    BenchmarkRequest,
    ConvertRequest,
    JobRequest,
    Kind,
    PipelineRequest,
    ValidateRequest,
)
from sightline_backend.jobs.running import RunningJob
from sightline_backend.jobs.title import title_of
from sightline_backend.jobs.work.wanted import found, source_of, wanted
from sightline_backend.store.records import Version
from sightline_backend.store.store import Store
from sightline_engines.benchmark.cells import CellResult
from sightline_engines.benchmark.recommend import Limits, recommend
from sightline_engines.convert.convert import can_make
from sightline_engines.convert.options import Precision
from sightline_engines.errors import SightlineError
from sightline_engines.types import Format


class Runs(Protocol):
    """Runs a pipeline's steps: the supervisor."""

    @property
    def records(self) -> JobRecords: ...

    async def ask(self, ask: Callable[[], Any]) -> Any: ...

    async def submit(self, kind: Kind, request: JobRequest, parent_id: int | None) -> Job: ...

    async def restart(self, job_id: int) -> Job: ...

    async def finished(self, job_id: int, on_event: Callable[[Job], None]) -> Job: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine with a precision, on its way through the steps."""

    engine: str
    precision: Precision
    artefact_id: int | None = None
    accuracy: dict[str, Any] | None = None
    out: str | None = None  # why it goes no further

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


class Pipeline:
    """One run of a tree; begun again it keeps what its finished children found."""

    def __init__(
        self, store: Store, runs: Runs, running: RunningJob, job_id: int, request: PipelineRequest
    ) -> None:
        self._store = store
        self._runs = runs
        self._running = running
        self._job_id = job_id
        self._request = request
        self._earlier: list[Job] = []
        self._steps: list[dict[str, Any]] = []
        self._cells: list[dict[str, Any]] = []
        self._about: dict[str, Any] = {}  # what the figures were measured on, and with
        candidates = len(request.engines) * len(request.precisions)
        # The source is validated, too, unless it is a candidate itself.
        source = not ("onnxruntime" in request.engines and "fp32" in request.precisions)
        self._expected = candidates * 3 + source if request.dataset else candidates * 2

    async def run(self) -> Outcome:
        """Run all steps in turn; a failed one ends its own branch alone."""
        request = self._request
        self._earlier = list((await self._runs.ask(self._tree)).children)
        candidates = [
            Candidate(engine, precision)
            for engine in request.engines
            for precision in request.precisions
        ]
        source = await self._source()
        if source is None:
            candidates = [replace(one, out="its ONNX could not be made") for one in candidates]
        else:
            candidates = [await self._convert(one) for one in candidates]
        source_map = None
        if request.dataset is not None:
            source_map = await self._source_map(source)
            candidates = [await self._validate(one, source_map) for one in candidates]
        for one in candidates:
            await self._measure(one)
        return self._outcome(source_map)

    def _tree(self) -> Job:
        return self._runs.records.job(self._job_id)

    def _version(self) -> Version:
        return version_of(self._store.models.model(self._request.model), self._request.version)

    async def _source(self) -> int | None:
        """Return the ONNX that all else is made from, making it of a checkpoint if need be."""
        version: Version = await self._runs.ask(self._version)
        source = source_of(version)
        asked = self._request
        request = ConvertRequest(
            model=asked.model,
            version=version.number,
            format="onnx",
            precision="fp32",
            input_size_wh=asked.input_size_wh,
            labels=asked.labels,
        )
        made_here = self._earlier_of("convert", request) is not None
        if source is not None and source.spec is not None and not made_here:
            return source.id
        self._expected += 1
        return _artefact_id(await self._step("convert", request))

    async def _convert(self, one: Candidate) -> Candidate:
        """Return the candidate with its artefact, which is made if there is none."""
        asked = self._request
        want = wanted(one.engine, one.precision, can_make(Format.OPENVINO, "int8"))
        request = ConvertRequest(
            model=asked.model,
            version=asked.version,
            format=want.format.value,  # type: ignore[arg-type]
            precision=want.precision,
            dataset=asked.dataset,
            max_batch=max(asked.batches),
        )
        version: Version = await self._runs.ask(self._version)
        source = source_of(version)
        size = source.spec.input_size_wh if source is not None and source.spec else (0, 0)
        there = found(version, want, size, asked.dataset)
        if there is not None and self._earlier_of("convert", request) is None:
            self._skip("convert", title_of(request), f"There is one already: artefact {there.id}.")
            return replace(one, artefact_id=there.id)
        job = await self._step("convert", request)
        made = _artefact_id(job)
        if made is None:
            return replace(one, out="it could not be made")
        return replace(one, artefact_id=made)

    async def _source_map(self, source: int | None) -> float | None:
        """Return the source's mAP50-95, against which losses are counted."""
        if source is None or self._request.dataset is None:
            return None
        job = await self._step("validate", self._validation(source, "onnxruntime"))
        accuracy = _accuracy(job)
        return None if accuracy is None else float(accuracy["map50_95"])

    def _validation(self, artefact_id: int, engine: str) -> ValidateRequest:
        return ValidateRequest(
            artefact_id=artefact_id,
            engine=engine,  # type: ignore[arg-type]
            dataset=self._request.dataset or "",
            most_pictures=self._request.most_pictures,
            device=self._request.device,
        )

    async def _validate(self, one: Candidate, source_map: float | None) -> Candidate:
        """Return the candidate with its accuracy; out if it loses too much to be worth timing."""
        if one.artefact_id is None:
            return one
        job = await self._step("validate", self._validation(one.artefact_id, one.engine))
        accuracy = _accuracy(job)
        if accuracy is None:
            return replace(one, out="its accuracy could not be measured")
        limit = self._request.max_accuracy_loss
        loss = 0.0 if source_map is None else source_map - float(accuracy["map50_95"])
        if loss > limit:
            said = f"it loses {loss:.3f} mAP50-95 against its source, more than {limit:g}"
            return replace(one, accuracy=accuracy, out=said)
        return replace(one, accuracy=accuracy)

    async def _measure(self, one: Candidate) -> None:
        asked = self._request
        if one.artefact_id is None or one.out is not None:
            self._skip("benchmark", f"Measure {asked.model}: {one}", f"Left out: {one.out}.")
            return
        request = BenchmarkRequest(
            model=asked.model,
            version=asked.version,
            artefact_id=one.artefact_id,
            engines=[one.engine],  # type: ignore[list-item]
            precisions=[one.precision],
            batches=asked.batches,
            instances=asked.instances,
            dataset=asked.dataset,
            most_pictures=asked.most_pictures,
            accuracy=False,  # the validation has found it
            seconds=asked.seconds,
            device=asked.device,
        )
        job = await self._step("benchmark", request)
        result = (job.result if job is not None else None) or {}
        cells = result.get("cells", [])
        self._about |= {name: result[name] for name in ("host", "dataset") if result.get(name)}
        self._cells += [
            {**cell, "accuracy": cell.get("accuracy") or one.accuracy} for cell in cells
        ]
        self._tell()

    async def _step(self, kind: Kind, request: JobRequest) -> Job | None:
        """Run a step, or take what an earlier run of it found; None if it can't even begin."""
        step: dict[str, Any] = {"kind": kind, "title": title_of(request), "job_id": None}
        earlier = self._earlier_of(kind, request)
        if earlier is not None and earlier.id in {one["job_id"] for one in self._steps}:
            return earlier  # the source's own cell: it has been validated already
        self._steps.append(step)
        try:
            job = await self._begun(kind, request, earlier)
        except SightlineError as error:
            step.update(state="failed", why=error.message)
            self._tell()
            return None
        step.update(job_id=job.id, state=job.state, why=None)
        self._tell()
        if not job.ended:
            job = await self._runs.finished(job.id, self._tell_of)
        step.update(state=job.state, why=(job.error or {}).get("message"))
        self._earlier = [one for one in self._earlier if one.id != job.id] + [job]
        self._tell()
        return job

    async def _begun(self, kind: Kind, request: JobRequest, earlier: Job | None) -> Job:
        if earlier is None:
            return await self._runs.submit(kind, request, self._job_id)
        if not earlier.ended or earlier.state == "done":
            return earlier
        return await self._runs.restart(earlier.id)

    def _earlier_of(self, kind: Kind, request: JobRequest) -> Job | None:
        asked = request.model_dump(mode="json")
        return next((j for j in self._earlier if j.kind == kind and j.request == asked), None)

    def _skip(self, kind: Kind, title: str, why: str) -> None:
        self._steps.append(
            {"kind": kind, "title": title, "job_id": None, "state": "skipped", "why": why}
        )
        self._tell()

    def _tell_of(self, child: Job) -> None:
        done = sum(step.get("state") in _OVER for step in self._steps)
        share = (done + (child.progress if not child.ended else 0.0)) / max(1, self._expected)
        self._running.progress(min(0.99, share), f"{child.title}: {child.doing}".rstrip(": "))

    def _tell(self) -> None:
        self._running.partial(self._result(None))
        done = sum(step.get("state") in _OVER for step in self._steps)
        self._running.change(progress=min(0.99, done / max(1, self._expected)))

    def _result(self, recommendation: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "steps": [dict(step) for step in self._steps],
            "cells": list(self._cells),
            "recommendation": recommendation,
            **self._about,
        }

    def _outcome(self, source_map: float | None) -> Outcome:
        asked = self._request
        limits = Limits(
            latency_limit_ms=asked.latency_limit_ms,
            max_accuracy_loss=asked.max_accuracy_loss,
            camera_fps=asked.camera_fps,
        )
        cells = [CellResult.from_dict(cell) for cell in self._cells]
        result = self._result(recommend(cells, limits, source_map).to_dict())
        if any(cell.state == "done" for cell in cells):
            return Outcome(result)
        return Outcome(
            result,
            {
                "code": "nothing_measured",
                "message": "Nothing could be measured; each step says why.",
            },
        )


_OVER = frozenset({"done", "failed", "cancelled", "interrupted", "skipped"})


def _artefact_id(job: Job | None) -> int | None:
    if job is None or job.state != "done" or job.result is None:
        return None
    return int(job.result["artefact_id"])


def _accuracy(job: Job | None) -> dict[str, Any] | None:
    if job is None or job.state != "done" or job.result is None:
        return None
    accuracy: dict[str, Any] | None = job.result.get("accuracy")
    return accuracy
