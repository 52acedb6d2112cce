"""The tree of jobs that converts and tests: its steps are scripted, its books are real."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sightline_backend.errors import NotPossibleError
from sightline_backend.jobs.follow import hub_of
from sightline_backend.jobs.job import Job
from sightline_backend.jobs.pipeline import Pipeline
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
from sightline_backend.store.store import Store, open_store
from sightline_engines.benchmark.cells import Accuracy, Cell, CellResult
from sightline_engines.benchmark.spread import Spread

MODEL = "sightline-webcam"


@pytest.fixture(scope="module")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store's folder, to be copied: to make a database takes a while."""
    folder = tmp_path_factory.mktemp("made") / "store"
    with closing(open_store(folder)) as store:
        store.models.models()
    return folder


@pytest.fixture
def store(made_store: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(made_store, tmp_path / "store")
    with closing(open_store(tmp_path / "store")) as opened:
        yield opened


@dataclass
class Scripted:
    """Runs steps at once: each makes what it should, unless `trouble` names it."""

    store: Store
    folder: Path
    maps: dict[str, float] = field(default_factory=dict)  # mAP50-95 by precision
    trouble: set[str] = field(default_factory=set)  # such as "convert int8", "begin convert int8"
    did: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records = JobRecords(self.store.database)
        self.folder.mkdir(exist_ok=True)

    async def ask(self, ask: Callable[[], Any]) -> Any:
        return ask()

    async def submit(self, kind: Kind, request: JobRequest, parent_id: int | None) -> Job:
        if f"begin {self.name(kind, request)}" in self.trouble:
            raise NotPossibleError("It can't even begin.")
        job = self.records.add(kind, request, "tests", parent_id)
        return self.run(job, kind, request)

    async def restart(self, job_id: int) -> Job:
        job = self.records.requeue(job_id, "tests")
        kinds: dict[str, type[JobRequest]] = {
            "convert": ConvertRequest,
            "validate": ValidateRequest,
            "benchmark": BenchmarkRequest,
        }
        return self.run(job, job.kind, kinds[job.kind].model_validate(job.request))

    async def finished(self, job_id: int, on_event: Callable[[Job], None]) -> Job:
        job = self.records.job(job_id)
        on_event(replace(job, state="running", progress=0.5, doing="half"))
        return job

    def name(self, kind: Kind, request: JobRequest) -> str:
        match request:
            case ConvertRequest():
                return f"{kind} {request.precision}"
            case ValidateRequest():
                return f"{kind} {self.store.models.artefact(request.artefact_id).precision}"
            case _:
                return f"{kind} {request.precisions[0]}"

    def run(self, job: Job, kind: Kind, request: JobRequest) -> Job:
        name = self.name(kind, request)
        self.did.append(name)
        self.records.begin(job.id, "tests")
        if name in self.trouble:
            error = {"code": "not_possible", "message": "It broke."}
            self.records.end(job.id, "tests", "failed", {"error": error})
            return self.records.job(job.id)
        match request:
            case ConvertRequest():
                result = self.converted(request)
            case ValidateRequest():
                precision = name.split()[1]
                accuracy = Accuracy(0.6, self.maps.get(precision, 0.4), {}, 12, "set", "0" * 64)
                result = {"artefact_id": request.artefact_id, "accuracy": accuracy.to_dict()}
            case BenchmarkRequest():
                cells = [self.cell(request, batch).to_dict() for batch in request.batches]
                result = {"cells": cells}
            case PipelineRequest():
                raise AssertionError("a pipeline starts no pipelines")
        self.records.end(job.id, "tests", "done", {"result": result})
        return self.records.job(job.id)

    def converted(self, request: ConvertRequest) -> dict[str, Any]:
        """Keep a copy of the source that calls itself of another precision."""
        (version,) = self.store.models.model(request.model).versions
        source = version.artefacts[0]
        assert source.spec is not None
        copy = self.folder / f"{request.precision}.onnx"
        said = request.precision.encode()
        doc_string = b"\x32" + bytes([len(said)]) + said  # a field of the file's, given once more
        copy.write_bytes(source.path.read_bytes() + doc_string)
        spec = replace(source.spec, path=copy, precision=request.precision)
        made = self.store.models.add_artefact(source, spec, made_from_id=source.id, origin="test")
        return {"artefact_id": made.id}

    def cell(self, request: BenchmarkRequest, batch: int) -> CellResult:
        faster = {"fp32": 1.0, "fp16": 2.0, "int8": 4.0}[request.precisions[0]]
        return CellResult(
            Cell(request.engines[0], request.precisions[0], batch, (416, 416)),
            "done",
            artefact_id=request.artefact_id,
            engine_ms=Spread.of([5.0 / faster] * 9),
            pipeline_ms=Spread.of([10.0 / faster] * 9),
            engine_fps=200.0 * faster,
            pipeline_fps=100.0 * faster,
        )


@pytest.fixture
def runs(store: Store, tmp_path: Path) -> Scripted:
    return Scripted(store, tmp_path / "made")


def asked(precisions: list[str], **more: Any) -> PipelineRequest:
    return PipelineRequest.model_validate(
        {"model": MODEL, "engines": ["onnxruntime"], "precisions": precisions, **more}
    )


async def run(runs: Scripted, request: PipelineRequest, job_id: int | None = None) -> Outcome:
    """Run a tree; `job_id` names one that ran before."""
    records = runs.records
    job_id = job_id or records.add("pipeline", request, "tests").id

    async def ask(ask: Callable[[], Any]) -> Any:
        return ask()

    running = RunningJob(job_id, "tests", records, hub_of(records, ask), ask)
    return await Pipeline(runs.store, runs, running, job_id, request).run()


def states(outcome: Outcome) -> list[tuple[str, str]]:
    assert outcome.result is not None
    return [(step["kind"], step["state"]) for step in outcome.result["steps"]]


async def test_what_is_there_is_measured_as_it_is(runs: Scripted) -> None:
    outcome = await run(runs, asked(["fp32"]))
    assert states(outcome) == [("convert", "skipped"), ("benchmark", "done")]
    assert outcome.error is None
    assert outcome.result is not None
    assert outcome.result["recommendation"]["best"]["precision"] == "fp32"
    assert [cell["accuracy"] for cell in outcome.result["cells"]] == [None]


async def test_a_candidate_that_loses_too_much_is_not_timed(runs: Scripted) -> None:
    runs.maps = {"fp32": 0.40, "fp16": 0.395, "int8": 0.30}
    outcome = await run(runs, asked(["fp32", "fp16", "int8"], dataset="set", batches=[1, 2]))
    assert runs.did == [
        *("convert fp16", "convert int8"),
        *("validate fp32", "validate fp16", "validate int8"),
        *("benchmark fp32", "benchmark fp16"),
    ]
    assert outcome.result is not None
    (out,) = [step for step in outcome.result["steps"] if step["kind"] == "benchmark"][2:]
    assert out["state"] == "skipped"
    assert "loses 0.100 mAP50-95" in out["why"]
    cells = outcome.result["cells"]
    assert [cell["accuracy"]["map50_95"] for cell in cells] == [0.4, 0.4, 0.395, 0.395]
    assert outcome.result["recommendation"]["best"]["precision"] == "fp16"


async def test_the_same_file_on_two_engines_is_validated_on_each(runs: Scripted) -> None:
    request = asked(["fp32"], dataset="set", engines=["onnxruntime", "openvino"])
    outcome = await run(runs, request)
    assert runs.did.count("validate fp32") == 2
    assert len((outcome.result or {})["cells"]) == 2


async def test_int8_of_ones_own_is_not_made_again(runs: Scripted) -> None:
    own = runs.converted(ConvertRequest(model=MODEL, format="onnx", precision="int8"))
    outcome = await run(runs, asked(["fp32", "int8"], dataset="set"))
    assert not [step for step in runs.did if step.startswith("convert")]
    cells = (outcome.result or {})["cells"]
    assert cells[1]["artefact_id"] == own["artefact_id"]


@pytest.mark.parametrize("trouble", ["convert int8", "begin convert int8", "validate int8"])
async def test_a_failed_step_ends_its_own_branch_alone(runs: Scripted, trouble: str) -> None:
    runs.trouble = {trouble}
    outcome = await run(runs, asked(["fp32", "int8"], dataset="set"))
    assert outcome.error is None
    assert outcome.result is not None
    failed = [step for step in outcome.result["steps"] if step["state"] == "failed"]
    assert len(failed) == 1
    assert failed[0]["why"] in {"It broke.", "It can't even begin."}
    assert [cell["cell"]["precision"] for cell in outcome.result["cells"]] == ["fp32"]


async def test_nothing_measured_is_a_failure_that_keeps_its_steps(runs: Scripted) -> None:
    runs.trouble = {"benchmark fp32"}
    outcome = await run(runs, asked(["fp32"]))
    assert outcome.error is not None
    assert outcome.error["code"] == "nothing_measured"
    assert states(outcome)[-1] == ("benchmark", "failed")


async def test_run_again_it_keeps_what_its_finished_steps_found(runs: Scripted) -> None:
    request = asked(["fp32", "int8"], dataset="set")
    runs.trouble = {"validate int8"}
    job_id = runs.records.add("pipeline", request, "tests").id
    await run(runs, request, job_id)
    before = {job.id for job in runs.records.job(job_id).children}
    runs.trouble, runs.did = set(), []
    outcome = await run(runs, request, job_id)
    assert runs.did == ["validate int8", "benchmark int8"]
    children = runs.records.job(job_id).children
    assert before < {job.id for job in children}
    assert len(children) == len(before) + 1
    assert {job.state for job in children} == {"done"}
    assert {state for _, state in states(outcome)} <= {"done", "skipped"}
    assert len((outcome.result or {})["cells"]) == 2


async def test_a_checkpoint_is_exported_first(runs: Scripted, tmp_path: Path) -> None:
    checkpoint = tmp_path / "mine.pt"
    checkpoint.write_bytes(b"PK\x03\x04 nobody opens this")
    runs.store.models.add_checkpoint(checkpoint, "mine", allow_pickle=True)
    runs.trouble = {"convert fp32"}
    labels = {"input_size_wh": [64, 64], "labels": ["car"]}
    outcome = await run(runs, asked(["fp32", "int8"], model="mine", **labels))
    assert runs.did == ["convert fp32"], "nothing is made of an ONNX that isn't there"
    (tree,) = runs.records.jobs()
    assert {name: tree.children[0].request[name] for name in labels} == labels
    assert outcome.error is not None
    assert states(outcome) == [("convert", "failed"), *[("benchmark", "skipped")] * 2]


def test_progress_never_goes_back(runs: Scripted) -> None:
    request = asked(["fp32", "int8"], dataset="set")
    job_id = runs.records.add("pipeline", request, "tests").id
    shares: list[float] = []

    class Listening(RunningJob):
        def change(self, **values: Any) -> None:
            shares.extend([values["progress"]] if "progress" in values else [])

    async def ask(ask: Callable[[], Any]) -> Any:
        return ask()

    running = Listening(job_id, "tests", runs.records, hub_of(runs.records, ask), ask)
    asyncio.run(Pipeline(runs.store, runs, running, job_id, request).run())
    assert shares == sorted(shares)
    assert shares[-1] == 0.99
