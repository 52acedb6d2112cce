"""The recommendation: worked tables, and what holds for every table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_engines.benchmark.cells import Accuracy, Cell, CellResult
from sightline_engines.benchmark.pareto import pareto_front
from sightline_engines.benchmark.recommend import (
    Limits,
    Percentile,
    Recommendation,
    recommend,
)
from sightline_engines.benchmark.spread import Spread


def accuracy(value: float) -> Accuracy:
    return Accuracy(value, value, {}, 10, "x", "y")


def measured(
    name: str = "openvino",
    *,
    fps: float = 100,
    ms: float = 10,
    precision: str = "fp32",
    map50_95: float | None = 0.5,
    batch: int = 1,
    instances: int = 1,
    memory: int = 100,
    parts: tuple[float, float, float] = (1, 8, 1),
) -> CellResult:
    return CellResult(
        Cell(name, precision, batch, (64, 64), instances),
        "done",
        pipeline_ms=Spread(ms, ms, ms, ms, ms, 10),
        pipeline_fps=fps,
        decode_ms=parts[0],
        infer_ms=parts[1],
        postprocess_ms=parts[2],
        memory_bytes=memory,
        accuracy=None if map50_95 is None else accuracy(map50_95),
    )


FP32 = measured()
INT8 = measured(precision="int8", fps=200, ms=5, map50_95=0.495)
LOSSY = measured("onnxruntime", precision="int8", fps=400, ms=2, map50_95=0.4)
SLOW = measured(batch=8, fps=300, ms=150)
LARGE = measured(instances=4, fps=500, ms=8, memory=10_000)
SKIPPED = CellResult(Cell("tensorrt", "fp16", 1, (64, 64)), "skipped", "There is no GPU.")


@pytest.mark.parametrize(
    ("results", "limits", "best", "cameras", "limited_by"),
    [
        ([], Limits(), None, 0, None),
        ([SKIPPED], Limits(), None, 0, None),
        ([FP32], Limits(), FP32, 5, "engine"),
        ([measured(parts=(8, 1, 1))], Limits(), measured(), 5, "decode"),
        ([measured(parts=(1, 1, 8))], Limits(), measured(), 5, "postprocess"),
        ([FP32, INT8], Limits(), INT8, 10, "engine"),
        ([FP32, INT8, LOSSY], Limits(), INT8, 10, "accuracy"),
        ([FP32, INT8, LOSSY], Limits(max_accuracy_loss=0.2), LOSSY, 21, "engine"),
        ([FP32, INT8], Limits(max_accuracy_loss=0), FP32, 5, "accuracy"),
        ([FP32, SLOW, SKIPPED], Limits(), FP32, 5, "latency"),
        ([SLOW], Limits(), None, 0, "latency"),
        ([FP32, LARGE], Limits(memory_bytes=1000), FP32, 5, "memory"),
        ([FP32, LARGE], Limits(), LARGE, 26, "engine"),
        ([FP32], Limits(camera_fps=30), FP32, 2, "engine"),
        ([FP32], Limits(latency_limit_ms=9), None, 0, "latency"),
        ([measured(ms=60, fps=16)], Limits(), measured(), 0, "engine"),
        ([FP32], Limits(latency_limit_ms=20), FP32, 3, "latency"),
        ([FP32, replace(INT8, accuracy=None)], Limits(), FP32, 5, "accuracy"),
        ([measured(map50_95=None)], Limits(), measured(), 5, "engine"),
    ],
)
def test_worked_tables(
    results: list[CellResult],
    limits: Limits,
    best: CellResult | None,
    cameras: int,
    limited_by: str | None,
) -> None:
    found = recommend(results, limits)
    assert found.best == (best and best.cell)
    assert (found.cameras, found.limited_by) == (cameras, limited_by)
    assert all(reason.endswith((".", ". ")) for reason in found.reasons)
    assert found.reasons
    assert Recommendation.from_dict(found.to_dict()) == found


def test_the_reasons_have_the_numbers() -> None:
    text = " ".join(recommend([FP32, INT8, LOSSY], Limits()).reasons)
    for part in (
        "200.0 pictures",
        "p95 of 5.0 ms",
        "loses 0.0050",
        "on 10 pictures",
        "10 cameras",
        "400.0",
        "80%",
    ):
        assert part in text


def test_the_loss_is_against_the_source_that_is_named() -> None:
    found = recommend([INT8], Limits(), source_map=0.6)
    assert found.best is None
    assert found.limited_by == "accuracy"
    assert "0.1050" in found.rejected[0][1]


@pytest.mark.parametrize(
    ("latency_limit_ms", "cameras", "said"),
    [
        (100, 5, "80% of that carries 5 cameras at 15 fps; the server promises no more."),
        (20, 3, "late and 6.9% of those of 4; 5% may be."),
        (15, 1, "frames of 1 camera are late and 7.5% of those of 2; 5% may be."),
    ],
)
def test_a_run_that_fills_the_deadline_leaves_no_time_to_wait_for_another(
    latency_limit_ms: float, cameras: int, said: str
) -> None:
    found = recommend([FP32], Limits(latency_limit_ms=latency_limit_ms))
    assert found.cameras == cameras
    assert said in " ".join(found.reasons)
    assert found.limited_by == ("engine" if cameras == 5 else "latency")


def test_smaller_batches_that_were_measured_count_in_a_batch_that_is_not_full() -> None:
    batch = measured(batch=8, fps=200, ms=40)
    limits = Limits(latency_limit_ms=45)
    alone = recommend([batch], limits)
    (with_one,) = {recommend(cells, limits).cameras for cells in ([FP32, batch], [batch, FP32])}
    assert alone.cameras < with_one
    other = replace(FP32, artefact_id=9)
    assert recommend([batch, other], limits).best == other.cell


@pytest.mark.parametrize(
    ("runs", "percentile", "said"),
    [(5, "p95", "20 runs"), (20, "p95", ""), (99, "p99", "100 runs"), (100, "p99", "")],
)
def test_a_percentile_of_a_handful_of_runs_is_named(
    runs: int, percentile: Percentile, said: str
) -> None:
    few = replace(FP32, pipeline_ms=Spread(10, 10, 10, 10, 10, runs))
    reasons = recommend([few], Limits(percentile=percentile)).reasons
    assert [said in reason for reason in reasons if "with care" in reason] == [True] * bool(said)


def test_the_pareto_front_is_fastest_first_and_each_more_accurate() -> None:
    worse = measured("a", ms=20, map50_95=0.3)
    assert pareto_front([FP32, worse, LOSSY, INT8, SKIPPED]) == [LOSSY, INT8, FP32]
    assert pareto_front([]) == []


cells = st.builds(
    measured,
    st.sampled_from(["a", "b"]),
    fps=st.floats(0.1, 5000),
    ms=st.floats(0.1, 300),
    precision=st.sampled_from(["fp32", "int8"]),
    map50_95=st.none() | st.floats(0, 1),
    batch=st.integers(1, 4),
    instances=st.integers(1, 4),
    memory=st.integers(0, 1000),
)


def alone(result: CellResult) -> CellResult:
    return replace(result, cell=replace(result.cell, batch=1))


limits_ = st.builds(
    Limits,
    latency_limit_ms=st.floats(1, 300),
    max_accuracy_loss=st.floats(0, 0.5),
    camera_fps=st.floats(1, 60),
    percentile=st.sampled_from(["p50", "p95", "p99"]),
    memory_bytes=st.none() | st.integers(1, 1000),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(cells, max_size=6), limits_)
def test_what_breaks_a_limit_is_never_recommended(
    results: list[CellResult], limits: Limits
) -> None:
    found = recommend(results, limits)
    assert len(found.rejected) <= len(results)
    if found.best is None:
        assert len(found.rejected) == len(results)
        assert found.cameras == 0
        return
    bests = [r for r in results if r.cell == found.best]
    assert any(
        r.pipeline_ms is not None
        and getattr(r.pipeline_ms, limits.percentile) <= limits.latency_limit_ms
        and (limits.memory_bytes is None or (r.memory_bytes or 0) <= limits.memory_bytes)
        and (r.cell.precision == "fp32" or r.accuracy is not None)
        and found.cameras * limits.camera_fps <= 0.8 * (r.pipeline_fps or 0) + 1e-6
        for r in bests
    )
    assert found.accuracy_loss is None or found.accuracy_loss <= limits.max_accuracy_loss


# In batches more speed may be a little worse: a run that ends sooner begins with fewer frames.
@settings(max_examples=20, deadline=None)
@given(st.lists(cells.map(alone), min_size=1, max_size=4), limits_, st.floats(1, 4), st.data())
def test_more_speed_never_makes_it_worse(
    results: list[CellResult], limits: Limits, factor: float, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(results) - 1))
    slow = results[place]
    assert slow.pipeline_ms is not None
    assert slow.pipeline_fps is not None
    ms = slow.pipeline_ms.p50 / factor
    fast = replace(
        slow, pipeline_ms=Spread(ms, ms, ms, ms, ms, 10), pipeline_fps=slow.pipeline_fps * factor
    )
    before = recommend(results, limits)
    after = recommend([*results[:place], fast, *results[place + 1 :]], limits)
    assert after.cameras >= before.cameras
    assert (after.best is None) <= (before.best is None)
