"""The matrix: real cells in processes of their own, steady clocks, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_engines.benchmark.cells import Cell, CellResult
from sightline_engines.benchmark.dataset import Dataset, DatasetError, read_dataset
from sightline_engines.benchmark.messages import (
    dataset_from_dict,
    dataset_to_dict,
    spec_from_dict,
    spec_to_dict,
)
from sightline_engines.benchmark.pictures import picture_bytes
from sightline_engines.benchmark.run import RunOptions, Trial, processors, run_matrix
from sightline_engines.benchmark.speed import Pace, steady, timed
from sightline_engines.benchmark.spread import Spread
from sightline_engines.benchmark.usage import Usage, peak_memory, read_usage
from sightline_engines.errors import EngineError
from sightline_engines.recognise import recognise
from sightline_engines.types import ModelSpec
from tests.engines.tiny import constant_model, random_raw

SHORT = RunOptions(seconds=0.3, warmup_s=0.05)
SIZE = (64, 64)


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    path = constant_model(tmp_path / "tiny.onnx", random_raw("yolov8", 2), batch="batch")
    return replace(recognise(path), labels=("person", "car"))


@pytest.fixture(scope="module")
def dataset(shared_data: Path) -> Dataset:
    return read_dataset(shared_data / "coco").most(8)


def test_a_matrix_is_measured_cell_by_cell(spec: ModelSpec, dataset: Dataset) -> None:
    told: list[float] = []
    finished: list[CellResult] = []
    trials = [
        Trial(Cell("onnxruntime", "fp32", 2, SIZE), spec, 7, notes=("a note",)),
        Trial(Cell("onnxruntime", "fp32", 1, SIZE, instances=2), spec, 7),
    ]
    results = run_matrix(
        trials, dataset, SHORT, lambda share, _: told.append(share), finished.append
    )
    assert results == finished
    assert told == sorted(told)
    assert told[-1] == 1
    for result, instances in zip(results, (1, 2), strict=True):
        assert (result.state, result.error) == ("done", None)
        assert result.artefact_id == 7
        for spread in (result.engine_ms, result.pipeline_ms):
            assert spread is not None
            assert 0 < spread.p50 <= spread.p90 <= spread.p95 <= spread.p99
            assert sum(spread.counts) == spread.n >= instances
        assert result.memory_bytes is not None
        assert result.memory_bytes > instances * 20 * 2**20
        parts = (result.decode_ms, result.preprocess_ms, result.infer_ms, result.postprocess_ms)
        assert result.pipeline_ms is not None
        whole = sum(part or 0 for part in parts)
        assert whole == pytest.approx(result.pipeline_ms.mean, rel=0.1)
        assert (result.cpu_share or 0) > 0
        assert result.gpu_share is None
        assert CellResult.from_dict(result.to_dict()) == result
    assert results[0].notes[0] == "a note"
    assert results[0].accuracy is not None
    assert results[0].accuracy == results[1].accuracy


def test_what_cannot_run_is_skipped_or_failed_and_the_others_go_on(
    spec: ModelSpec, tmp_path: Path
) -> None:
    gone = replace(spec, path=tmp_path / "gone.onnx", sha256="1")
    trials = [
        Trial(Cell("onnxruntime", "int8", 1, SIZE), None, skipped="There is no int8."),
        Trial(Cell("onnxruntime", "fp32", 1, SIZE, processors() + 1), spec),
        Trial(Cell("onnxruntime", "fp32", 1, SIZE), gone),
        Trial(Cell("nonsense", "fp32", 1, SIZE), spec),
        Trial(Cell("onnxruntime", "fp32", 1, SIZE), spec),
    ]
    results = run_matrix(trials, None, SHORT)
    states = [result.state for result in results]
    assert states == ["skipped", "skipped", "failed", "failed", "done"]
    said = [result.error or "" for result in results]
    assert "no int8" in said[0]
    assert "processors" in said[1]
    assert "nonsense" in said[3]
    assert results[4].accuracy is None


@pytest.mark.parametrize(("batch", "said"), [(1, ()), (4, ("4 pictures take 4 runs",))])
def test_a_model_with_a_fixed_batch_runs_others_in_parts_and_says_so(
    spec: ModelSpec, batch: int, said: tuple[str, ...]
) -> None:
    fixed = replace(spec, static_batch=1)
    [result] = run_matrix([Trial(Cell("onnxruntime", "fp32", batch, SIZE), fixed)], None, SHORT)
    assert result.state == "done"
    notes = [note for note in result.notes if "fixed" in note]
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes, strict=True))


@pytest.mark.parametrize("seconds", [0.0002, 1])
def test_a_percentile_of_few_runs_is_named(spec: ModelSpec, seconds: float) -> None:
    options = RunOptions(seconds=seconds, warmup_s=0.05)
    [result] = run_matrix([Trial(Cell("onnxruntime", "fp32", 1, SIZE), spec)], None, options)
    assert result.pipeline_ms is not None
    few = {"p95": result.pipeline_ms.n < 20, "p99": result.pipeline_ms.n < 100}
    assert few["p95"] or seconds == 1
    said = [note.split()[0] for note in result.notes]
    assert said == [percentile for percentile in few if few[percentile]]


@pytest.mark.parametrize(
    ("engine", "device"), [("tensorrt", "cuda:1"), ("onnxruntime", "cuda:1"), ("openvino", "cpu")]
)
def test_each_cell_runs_where_it_says(
    engine: str, device: str, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def measuring(request: Mapping[str, Any]) -> NoReturn:
        asked.append(request["device"])
        raise EngineError("That is enough.")

    monkeypatch.setattr("sightline_engines.benchmark.run.Measuring", measuring)
    cell = Cell(engine, "fp32", 1, SIZE, device=device)
    [result] = run_matrix([Trial(cell, spec)], None, SHORT)
    assert (result.error, asked) == ("That is enough.", [device])


def test_a_crash_costs_one_cell(spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline_engines.benchmark.process.sys.executable", "/bin/false")
    [result] = run_matrix([Trial(Cell("onnxruntime", "fp32", 1, SIZE), spec)], None, SHORT)
    assert result.state == "failed"
    assert "ended with status 1" in (result.error or "")


def test_no_class_in_common_ends_it_before_anything_runs(spec: ModelSpec, dataset: Dataset) -> None:
    stranger = replace(spec, labels=("unicorn", "griffin"))
    with pytest.raises(DatasetError, match="unicorn"):
        run_matrix([Trial(Cell("onnxruntime", "fp32", 1, SIZE), stranger)], dataset, SHORT)


def test_nothing_to_measure_gives_nothing() -> None:
    assert run_matrix([]) == []


def test_specs_and_data_sets_travel(spec: ModelSpec, dataset: Dataset) -> None:
    assert spec_from_dict(spec_to_dict(spec)) == spec
    assert dataset_from_dict(dataset_to_dict(dataset)) == dataset


def test_without_a_data_set_pictures_are_drawn() -> None:
    pictures = picture_bytes([])
    assert len(pictures) == 4
    assert all(30_000 < len(data) < 600_000 for data in pictures)


def scripted(times_ms: list[float]) -> tuple[Callable[[], int], Callable[[], None]]:
    """Return a clock and what moves it on by the next time; the last goes on for ever."""
    now = 0
    turn = iter(times_ms)

    def clock() -> int:
        return now

    def run() -> None:
        nonlocal now
        now += int(next(turn, times_ms[-1]) * 1e6)

    return clock, run


@pytest.mark.parametrize(
    ("times", "pace", "runs"),
    [
        ([2000.0], Pace(1, 0, True), 1),
        ([100.0], Pace(1, 0.25, True), 10),
        ([1.0], Pace(1, 0, False), 1000),
        ([1.0], Pace(1, 0, True), 400),
        ([1.0 + i / 500 for i in range(2000)], Pace(1, 0, True), 619),
    ],
)
def test_a_phase_ends_when_the_time_is_up_or_the_median_is_steady(
    times: list[float], pace: Pace, runs: int
) -> None:
    clock, run = scripted(times)
    begun: list[int] = []
    phase = timed(run, pace, lambda: begun.append(clock()), clock)
    assert len(begun) == 1
    assert begun[0] >= pace.warmup_s * 1e9
    assert len(phase.times_ms) == runs
    assert phase.seconds == pytest.approx(sum(phase.times_ms) / 1e3)


def test_windows_that_differ_are_not_steady() -> None:
    ends = [(i + 1) * 1_000_000 for i in range(400)]
    assert steady([1.0] * 400, ends, 100_000_000)
    assert not steady([1.0] * 300 + [1.2] * 100, ends, 100_000_000)
    assert not steady([1.0] * 50, ends[:50], 1)


@pytest.mark.parametrize("times", [[], [3.0], [1.0, 1.0], [1.0] * 500 + [90.0]])
def test_a_spread_counts_every_run(times: list[float]) -> None:
    spread = Spread.of(times)
    if not times:
        assert spread is None
        return
    assert spread is not None
    assert sum(spread.counts) == spread.n == len(times)
    assert spread.edges[-1] >= max(times)


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=300))
def test_percentiles_are_in_order_and_within(times: list[float]) -> None:
    spread = Spread.of(times)
    assert spread is not None
    values = (min(times), spread.p50, spread.p90, spread.p95, spread.p99, max(times))
    assert np.all(np.diff(values) >= -1e-9)
    assert sum(spread.counts) == len(times)
    assert Spread.from_dict(spread.to_dict()) == spread


def test_usage_is_a_difference_of_two_readings() -> None:
    used = Usage(10, 15, 4, 1).since(Usage(0, 0, 0, 0))
    assert used.cores == 1.5
    assert used.disturbed == 0.1
    assert Usage(1, 1, 0, 0).disturbed is None
    assert Usage().cores == 0
    assert read_usage().wall_s > 0
    assert peak_memory() > 2**20
