"""What the Benchmark page's plots are drawn from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_frontend.measured import Recommendation, Result, Run
from sightline_frontend.pareto import front
from sightline_frontend.views.plots import change, distribution, throughput, tradeoff
from tests.frontend.fake_api import cell


def run(*cells: dict[str, object], number: int = 1) -> Run:
    return Run.from_dict({"job_id": number, "model": "m", "cells": list(cells)})


QUICK = cell("openvino", "int8", 1, 10.0, 0.30)
GOOD = cell("openvino", "fp32", 1, 20.0, 0.32)
BEATEN = cell("onnxruntime", "fp32", 1, 30.0, 0.32)
UNJUDGED = cell("openvino", "fp16", 1, 5.0, None)


@pytest.mark.parametrize(
    ("points", "kept"),
    [
        ([], []),
        ([(1.0, 1.0)], [0]),
        ([(2.0, 1.0), (1.0, 1.0)], [1]),
        ([(1.0, 0.5), (2.0, 0.9), (3.0, 0.7)], [0, 1]),
        ([(1.0, 0.5), (1.0, 0.5)], [0]),
        ([(1.0, 0.5), (1.0, 0.6)], [1]),
    ],
)
def test_the_front_is_what_none_beats(points: list[tuple[float, float]], kept: list[int]) -> None:
    assert front(points) == kept


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_every_point_is_on_the_front_or_beaten_by_one_that_is(
    points: list[tuple[int, int]],
) -> None:
    kept = front(points)
    for index, (cost, worth) in enumerate(points):
        beaten = [k for k in kept if points[k][0] <= cost and points[k][1] >= worth]
        assert beaten
        if index in kept:
            assert beaten == [index]


def test_the_tradeoff_shows_judged_cells_and_marks_the_front() -> None:
    assert tradeoff([], "p95", "pipeline") == []
    rows = tradeoff([run(QUICK, GOOD, BEATEN, UNJUDGED)], "p95", "pipeline")
    assert [(row["what"], row["front"]) for row in rows] == [
        ("openvino int8", True),
        ("openvino fp32", True),
        ("onnxruntime fp32", False),
    ]
    assert rows[0]["cell"] == "openvino int8 · batch 1 · 416x416"
    assert rows[0]["latency"] == pytest.approx(11.5)


def test_lines_of_throughput_join_batches_and_keep_runs_apart() -> None:
    assert throughput([], "engine") == []
    four = cell("openvino", "int8", 4, 30.0, None)
    rows = throughput([run(four, QUICK), run(QUICK, number=2)], "pipeline")
    assert [(row["what"], row["batch"]) for row in rows] == [
        ("openvino int8 · #1", 1),
        ("openvino int8 · #1", 4),
        ("openvino int8 · #2", 1),
    ]


def test_a_distribution_holds_every_batch() -> None:
    assert distribution([], "pipeline") == []
    rows = distribution([("a", Result.from_dict(QUICK))], "pipeline")
    assert sum(row["count"] for row in rows) == 100
    assert sum(row["share"] * (row["to"] - row["from"]) for row in rows) == pytest.approx(1)


def test_a_change_says_what_is_better() -> None:
    rows = change(Result.from_dict(GOOD), Result.from_dict(QUICK), "pipeline")
    verdicts = {row["what"]: row["verdict"] for row in rows}
    assert verdicts["latency p95"] == "better"
    assert verdicts["pictures a second"] == "better"
    assert verdicts["mAP50-95"] == "worse"
    assert verdicts["memory"] == "same"


def test_a_cell_that_waited_for_processors_is_marked() -> None:
    shares = (None, 0.0, 0.05, 0.3)
    results = [Result.from_dict({**QUICK, "disturbed": share}) for share in shares]
    assert [one.disturbed for one in results] == [None, None, None, 0.3]


def test_a_recommendation_of_nothing_is_read() -> None:
    found = Recommendation.from_dict({"best": None, "reasons": ["Nothing holds 1 ms."]})
    assert (found.best, found.cameras, found.rejected) == (None, 0, ())
