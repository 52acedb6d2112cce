"""Exported benchmarks, read back, and the routes that give them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import openpyxl
import pytest
from fastapi import FastAPI

from sightline_backend.benchmark_export import BenchmarkRun, export
from sightline_backend.errors import UnknownError
from sightline_backend.handlers import add_error_handlers
from sightline_backend.jobs.job import Job
from sightline_backend.jobs.requests import Kind
from sightline_backend.routes import benchmark as routes
from sightline_engines.benchmark.cells import Accuracy, Cell, CellResult, ClassAccuracy
from sightline_engines.benchmark.spread import Spread

EVIL = "=cmd|' /C calc'!A0"


def result(precision: str, fps: float, map50_95: float) -> CellResult:
    per_class = {EVIL: ClassAccuracy(0.5, 0.25, 3), "car": ClassAccuracy(None, None, 0)}
    return CellResult(
        Cell("onnxruntime", precision, 1, (64, 64)),
        "done",
        artefact_id=4,
        pipeline_ms=Spread.of([1.0, 2.0, 3.0]),
        engine_ms=Spread.of([1.0]),
        pipeline_fps=fps,
        infer_ms=1.0,
        accuracy=Accuracy(0.5, map50_95, per_class, 3, "-tiny", "abc"),
        notes=("+note",),
    )


SKIPPED = CellResult(Cell("tensorrt", "fp16", 4, (64, 64)), "skipped", "@no GPU")
CELLS = [result("fp32", 100.0, 0.25), result("int8", 200.0, 0.245), SKIPPED]


def run(cells: list[CellResult] | None = None) -> BenchmarkRun:
    host = {"processor": "x", "gpus": ["a", "b"]}
    return BenchmarkRun(3, "title", EVIL, "2026", CELLS if cells is None else cells, host, None)


def test_csv_can_be_read_back_and_runs_no_formula() -> None:
    assert export([], "csv") == b""
    rows = list(csv.DictReader(io.StringIO(export([run()], "csv").decode())))
    assert [row["state"] for row in rows] == ["done", "done", "skipped"]
    assert rows[0]["model"] == f"'{EVIL}"
    assert rows[0]["dataset"] == "'-tiny"
    assert rows[2]["error"] == "'@no GPU"
    assert float(rows[0]["pipeline_ms_p50"]) == 2
    assert float(rows[1]["map50_95"]) == 0.245
    assert rows[2]["pipeline_fps"] == ""


def test_json_holds_everything() -> None:
    data = json.loads(export([run()], "json"))
    assert [CellResult.from_dict(cell) for cell in data["runs"][0]["cells"]] == CELLS
    assert json.loads(export([], "json"))["runs"] == []


@pytest.mark.parametrize("cells", [[], CELLS])
def test_excel_has_a_sheet_for_cells_classes_and_origin(cells: list[CellResult]) -> None:
    book = openpyxl.load_workbook(io.BytesIO(export([run(cells)], "xlsx")))
    assert book.sheetnames == ["Cells", "Classes", "About"]
    sheets = {sheet.title: [list(row) for row in sheet.iter_rows()] for sheet in book}
    for rows in sheets.values():
        assert all(value.data_type != "f" for row in rows for value in row)
    values = {title: [[v.value for v in row] for row in rows] for title, rows in sheets.items()}
    assert [row[2] for row in values["About"] if row[1] == "title"] == ["title"]
    if cells:
        head, first = values["Cells"][:2]
        assert first[head.index("pipeline_fps")] == 100
        assert first[head.index("model")] == f"'{EVIL}"
        classes = [row[6] for row in values["Classes"]]
        assert classes == ["class", f"'{EVIL}", "car", f"'{EVIL}", "car"]


HOST = {"processor": "x", "processors": 2, "system": "Linux-1", "gpus": []}


def job(
    number: int, kind: Kind, cells: list[CellResult], model: str = "m", **result: object
) -> Job:
    return Job(
        number, None, kind, "a title", {"model": model}, "cpu", "done", 1.0, "",
        {"cells": [cell.to_dict() for cell in cells], **result}, None, "", datetime.now(UTC),
    )  # fmt: skip


def elsewhere(name: str) -> CellResult:
    """Return the fp32 cell, its accuracy measured on another data set."""
    accuracy = CELLS[0].accuracy
    assert accuracy is not None
    return replace(CELLS[0], accuracy=replace(accuracy, dataset=name, dataset_sha256=name))


class Jobs:
    """The supervisor's reading side."""

    def __init__(self, *jobs: Job) -> None:
        self._jobs = jobs
        self.records = self

    async def ask(self, ask: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(ask)

    def job(self, number: int) -> Job:
        for one in self._jobs:
            if one.id == number:
                return one
        raise UnknownError(f"There is no job {number}.")

    def measured(self, model: str | None, limit: int) -> list[Job]:
        """Return what the database does."""
        found = [
            one
            for one in self._jobs
            if (one.result or {}).get("cells") and model in (None, one.request["model"])
        ]
        return sorted(found, key=lambda one: one.id, reverse=True)[:limit]


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(routes.router)
    add_error_handlers(app)
    jobs = Jobs(
        job(1, "benchmark", CELLS, host=HOST),
        job(2, "pipeline", CELLS[:1]),
        job(3, "convert", []),
        job(4, "benchmark", []),
        job(5, "benchmark", CELLS, "other"),
        job(6, "benchmark", [elsewhere("night")]),
        job(7, "benchmark", CELLS, host={**HOST, "processor": "y"}),
        job(8, "benchmark", CELLS[:1], host={**HOST, "system": "Linux-2"}),
        job(9, "benchmark", [], dataset={"name": "fog", "pictures": 4, "sha256": "f" * 64}),
    )
    app.state.service = SimpleNamespace(jobs=jobs)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_runs_are_those_with_cells_newest_first(http: httpx.AsyncClient) -> None:
    rows = (await http.get("/api/benchmark/runs")).json()
    assert [(row["job_id"], row["kind"]) for row in rows] == [
        *((8, "benchmark"), (7, "benchmark"), (6, "benchmark"), (5, "benchmark")),
        *((2, "pipeline"), (1, "benchmark")),
    ]
    only = (await http.get("/api/benchmark/runs", params={"model": "other"})).json()
    assert [len(row["cells"]) for row in only] == [3]


@pytest.mark.parametrize("form", ["csv", "json", "xlsx"])
async def test_runs_are_exported_together(form: str, http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/benchmark/export", params={"job": [1, 2], "format": form})
    assert answer.status_code == 200
    assert f"1-2.{form}" in answer.headers["content-disposition"]
    assert len(answer.content) > 100


@pytest.mark.parametrize(("number", "status"), [(99, 404), (3, 409)])
async def test_a_job_without_cells_is_named(
    number: int, status: int, http: httpx.AsyncClient
) -> None:
    answer = await http.get("/api/benchmark/export", params={"job": number})
    assert answer.status_code == status
    assert str(number) in answer.json()["error"]["message"]


@pytest.mark.parametrize(("loss", "precision"), [(0.01, "int8"), (0.001, "fp32")])
async def test_a_recommendation_is_for_the_limits_asked(
    loss: float, precision: str, http: httpx.AsyncClient
) -> None:
    body = {"jobs": [1, 2], "latency_limit_ms": 50, "max_accuracy_loss": loss, "camera_fps": 15}
    answer = (await http.post("/api/benchmark/recommend", json=body)).json()
    assert answer["best"]["precision"] == precision
    assert answer["reasons"]
    assert (await http.post("/api/benchmark/recommend", json={"jobs": []})).status_code == 422


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ([1, 5], ["another model", "m (job 1)", "other (job 5)"]),
        ([1, 2, 6], ["another data set", "-tiny, 3 pictures, abc (jobs 1, 2)", "night", "(job 6)"]),
        ([1, 9], ["another data set", "fog, 4 pictures, ffffffff (job 9)"]),
        ([1, 7], ["another machine", "2 x x (job 1)", "2 x y (job 7)"]),
    ],
)
async def test_runs_that_cannot_be_compared_get_no_recommendation(
    jobs: list[int], said: list[str], http: httpx.AsyncClient
) -> None:
    answer = await http.post("/api/benchmark/recommend", json={"jobs": jobs})
    assert answer.status_code == 409
    message = answer.json()["error"]["message"]
    assert all(part in message for part in said), message


@pytest.mark.parametrize("jobs", [[7, 2], [1, 8], [5]])
async def test_runs_of_one_model_data_set_and_machine_are_compared(
    jobs: list[int], http: httpx.AsyncClient
) -> None:
    answer = await http.post("/api/benchmark/recommend", json={"jobs": jobs})
    assert answer.status_code == 200
    assert answer.json()["best"]
