"""The benchmark page before a played detector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.frontend.fake_api import FakeApi, artefact, cell, checkpoint, model, serving
from tests.frontend.page import benchmark_script, opened, words

CELLS = [
    cell("onnxruntime", "fp32", 1, 31.0, 0.312),
    cell("openvino", "fp32", 1, 22.0, 0.312, disturbed=0.12),
    {**cell("openvino", "int8", 1, 14.0, None), "state": "failed", "error": "Out of memory."},
    {**cell("tensorrt", "fp16", 1, 1.0, None), "state": "skipped", "error": "No TensorRT."},
]


def run(number: int, cells: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"job_id": number, "kind": "benchmark", "title": "t", "model": "people",
            "state": "done", "created_at": "2026-11-21T14:00", "cells": cells, **more}  # fmt: skip


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    fake = FakeApi(models={"people": model("people", artefact(1))})
    fake.datasets = [
        {"name": "yard", "kind": "stored", "about": {"pictures": 12, "boxes": 80}},
        {"name": "broken", "kind": "stored", "about": {"problem": "It holds no labels."}},
    ]
    with serving(fake) as fake:
        yield fake


@pytest.fixture
def measured(fake: FakeApi) -> FakeApi:
    fake.runs = [run(9, CELLS), run(4, CELLS[:1])]
    fake.recommendation = {
        "best": CELLS[1]["cell"], "reasons": ["It carries 2 cameras."], "limited_by": "engine",
        "cameras": 2, "artefact_id": 1, "accuracy_loss": 0.0,
        "rejected": [{"cell": CELLS[0]["cell"], "why": "It is slower."}],
    }  # fmt: skip
    return fake


def test_before_the_first_run_the_page_says_what_to_do(fake: FakeApi) -> None:
    with opened(benchmark_script, fake) as app:
        assert "Nothing is measured yet" in words(app)
        assert "broken can't be used: It holds no labels." in words(app)


def test_without_models_there_is_nothing_to_measure(fake: FakeApi) -> None:
    fake.models.clear()
    with opened(benchmark_script, fake) as app:
        assert "add one on the page Models" in words(app)


def test_a_checkpoint_is_converted_before_it_is_measured(fake: FakeApi) -> None:
    fake.models["people"] = checkpoint("people")
    with opened(benchmark_script, fake) as app:
        assert app.selectbox(key="run-version-people").options == ["Version 1"]
        assert app.button(key="start-benchmark").disabled
        assert not app.button(key="start-pipeline").disabled


def test_a_benchmark_is_asked_for_as_it_was_chosen(fake: FakeApi) -> None:
    with opened(benchmark_script, fake) as app:
        app.button_group(key="run-batches").set_value([1, 4]).run()
        app.text_input(key="run-sizes").set_value("320x320, 640 x 480").run()
        app.selectbox(key="run-data").set_value("yard").run()
        app.number_input(key="run-most").set_value(10).run()
        assert "8 cells at most" in words(app)
        app.button(key="start-benchmark").click().run()
        assert not app.exception
        assert fake.told == [("POST /api/benchmark", {
            "model": "people", "version": None, "engines": ["openvino", "onnxruntime"],
            "precisions": ["fp32"], "batches": [1, 4], "instances": [1], "seconds": 5.0,
            "dataset": "yard", "most_pictures": 10, "input_sizes": [[320, 320], [640, 480]],
        })]  # fmt: skip
        assert "has started" in words(app)


def test_a_pipeline_carries_the_limits(fake: FakeApi) -> None:
    with opened(benchmark_script, fake) as app:
        app.selectbox(key="run-data").set_value("None: speed alone").run()
        app.number_input(key="limit-ms").set_value(50.0).run()
        app.button(key="start-pipeline").click().run()
        ((call, body),) = fake.told
        assert call == "POST /api/pipeline"
        assert (body["latency_limit_ms"], body["max_accuracy_loss"]) == (50.0, 0.01)
        assert body["camera_fps"] == 15.0
        assert body["dataset"] is None
        assert "input_sizes" not in body


def test_an_empty_matrix_can_not_be_started(fake: FakeApi) -> None:
    with opened(benchmark_script, fake) as app:
        app.button_group(key="run-engines").set_value([]).run()
        assert app.button(key="start-benchmark").disabled
        assert app.button(key="start-pipeline").disabled


def test_the_recommendation_stands_above_the_table_with_its_reasons(measured: FakeApi) -> None:
    with opened(benchmark_script, measured) as app:
        text = words(app)
        assert "openvino fp32 · batch 1 · 416x416" in text
        assert "It carries 2 cameras." in text
        assert "It is slower." in text
        rows = app.dataframe[0].value.to_dict("records")
        assert [row["best"] for row in rows] == ["", "★"]
        assert [row["mAP50-95"] for row in rows] == [0.312, 0.312]
        assert app.warning[0].value.startswith("One measurement was disturbed")
        assert "Out of memory." in app.error[0].value
        assert "left out: No TensorRT." in text
        asked = [body for call, body in measured.told if call.endswith("recommend")]
        assert asked[0]["jobs"] == [9]


def test_earlier_runs_are_shown_side_by_side(measured: FakeApi) -> None:
    with opened(benchmark_script, measured) as app:
        app.multiselect(key="runs-shown").set_value([9, 4]).run()
        assert not app.exception
        assert [row["run"] for row in app.dataframe[0].value.to_dict("records")] == [
            "#9", "#9", "#4",
        ]  # fmt: skip
        classes = app.dataframe[1].value.to_dict("records")
        assert [row["class"] for row in classes] == ["person"]  # no cat was to be found
        app.multiselect(key="runs-shown").set_value([]).run()
        assert "Choose one run" in words(app)


def test_a_new_run_is_shown_at_once(measured: FakeApi) -> None:
    with opened(benchmark_script, measured) as app:
        measured.runs.insert(0, run(12, CELLS[:1]))
        app.run()
        assert app.multiselect(key="runs-shown").value == [12]


def test_a_run_without_accuracy_or_with_one_cell_is_drawn_too(measured: FakeApi) -> None:
    measured.runs = [run(1, [cell("openvino", "fp32", 1, 20.0, None)], state="cancelled")]
    with opened(benchmark_script, measured) as app:
        assert "Accuracy isn't measured" in words(app)


def test_an_answer_of_another_kind_is_an_error_and_not_a_crash(fake: FakeApi) -> None:
    fake.runs = [{"nothing": 1}]
    with opened(benchmark_script, fake) as app:
        assert "isn't understood" in app.error[0].value


def test_the_bars_of_a_pipeline_show_its_steps(fake: FakeApi) -> None:
    fake.job(1, "pipeline", title="Convert and test people")
    fake.job(2, "convert", parent_id=1, state="done", title="to INT8")
    fake.job(3, "benchmark", parent_id=1, title="8 cells", doing="openvino, batch 4")
    with opened(benchmark_script, fake) as app:
        text = words(app)
        assert "Convert and test people" in text
        assert "to INT8" in text
        assert "8 cells" in text
