"""The last minutes: what is kept, for how long, and what is told of it."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sightline_monitoring.engine_processes import EngineProcessCollector
from sightline_monitoring.figures import NEEDED, Figures
from sightline_monitoring.history import MOST_COLUMNS, WINDOW_S, History, keep
from sightline_monitoring.host import HostCollector
from sightline_monitoring.metrics import Metrics
from sightline_monitoring.reading import KEPT, LOOP_LAG, REFUSALS, RESTARTS, read
from sightline_monitoring.span import Reading, Span

ANSWERED = "images_processed_total"


def filled(readings: Iterable[tuple[float, Reading]]) -> History:
    history = History()
    for at_s, reading in readings:
        history.take(at_s, reading)
    return history


def newest(history: History) -> Figures:
    return history.points(1)[-1].figures


class Gpus(Collector):
    """Two GPUs, as the driver might tell of them."""

    def collect(self) -> Iterable[Metric]:
        for name, values in {
            "gpu_utilization": (0.2, 0.6),
            "gpu_temperature_celsius": (50, 70),
            "gpu_slowdown_temperature_celsius": (90, 85),
            "gpu_memory_used_bytes": (1, 2),
            "gpu_memory_total_bytes": (10, 10),
        }.items():
            family = GaugeMetricFamily(name, name, labels=["gpu"])
            for index, value in enumerate(values):
                family.add_metric([str(index)], value)
            yield family


def test_before_the_first_reading_there_is_nothing() -> None:
    history = History()
    assert history.points(900) == []
    assert history.latest is None
    assert history.latest_s is None
    assert history.span(300).increase(ANSWERED) is None


def test_one_reading_has_gauges_and_no_rates() -> None:
    history = filled([(0.0, {ANSWERED: 5.0, "sightline_streams_active": 2.0})])
    assert newest(history).streams == 2
    assert newest(history).answered_fps is None


def test_rates_are_over_the_last_seconds() -> None:
    # 10 frames a second for a minute, then 30
    counts = [(t, 10.0 * t if t <= 60 else 600 + 30.0 * (t - 60)) for t in range(0, 121, 2)]
    history = filled((float(t), {ANSWERED: count}) for t, count in counts)
    rates = [point.figures.answered_fps for point in history.points(900)]
    assert rates[1:31] == pytest.approx([10.0] * 30)
    assert rates[-1] == pytest.approx(30.0)
    assert history.span(60).rate(ANSWERED) == pytest.approx(30.0)


def test_a_time_without_readings_is_in_no_rate() -> None:
    asleep = [(0.0, 0.0), (2.0, 20.0), (4000.0, 30.0), (4002.0, 50.0)]
    history = filled((at_s, {ANSWERED: count}) for at_s, count in asleep)
    assert [p.figures.answered_fps for p in history.points(900)] == [None, pytest.approx(10.0)]


def test_a_counter_that_comes_later_counts_from_nothing() -> None:
    late = "sightline_frames_total/failed"
    history = filled([(0.0, {ANSWERED: 1.0}), (2.0, {ANSWERED: 1.0, late: 4.0})])
    assert newest(history).failed_fps == 2.0
    assert history.span(900).increase(late) == 4


def test_what_goes_away_is_absent_again() -> None:
    history = filled([(0.0, {"gpu_utilization": 0.5}), (2.0, {})])
    assert [point.figures.gpu_share for point in history.points(900)] == [0.5, None]


def test_memory_is_bounded_however_long_it_runs_and_whatever_comes() -> None:
    history = filled((2.0 * i, {f"name/{i}/{j}": 1.0 for j in range(10)}) for i in range(2000))
    assert len(history.points(1e9)) == 451
    assert history.latest is not None
    assert len(history.latest) <= 10
    assert len(history._columns) == MOST_COLUMNS


@given(st.lists(st.integers(0, 100), min_size=2, max_size=60), st.floats(2.0, 120.0))
def test_a_span_adds_up_what_came_in_it(steps: list[int], seconds: float) -> None:
    totals = [float(sum(steps[: i + 1])) for i in range(len(steps))]
    history = filled((2.0 * i, {ANSWERED: total}) for i, total in enumerate(totals))
    span = history.span(seconds)
    readings = min(len(steps) - 1, math.floor((seconds + 1) / 2))
    assert span.seconds == 2 * readings
    assert span.increase(ANSWERED) == totals[-1] - totals[-1 - readings]


@given(st.lists(st.floats(0.0006, 9.9), min_size=1, max_size=200))
def test_quantiles_are_within_a_bucket_of_the_true_ones(ages: list[float]) -> None:
    metrics = Metrics()
    before = read(metrics.registry)
    for age in ages:
        metrics.result_age.observe(age)
    history = filled([(0.0, before), (2.0, read(metrics.registry))])
    told = newest(history).age_p95_s
    true = sorted(ages)[math.ceil(0.95 * len(ages)) - 1]
    assert told is not None
    assert true / 1.3 <= told <= true * 1.3


def test_a_reading_of_the_real_registry_gives_every_live_figure() -> None:
    metrics = Metrics()
    metrics.engine_busy.labels("busy")
    before = read(metrics.registry)
    for _ in range(20):
        metrics.image_processed(0.03)
        metrics.frames.labels("answered").inc()
    metrics.engine_ran(4)
    metrics.frames_dropped.labels("late").inc(10)
    metrics.admitted_frames.labels("yes").inc(9)
    metrics.admitted_frames.labels("no").inc(1)
    metrics.frames.labels("failed").inc(3)
    metrics.frames.labels("refused").inc(2)
    metrics.engine_busy.labels("busy").inc(1.0)
    metrics.engines_running.labels("busy").set(2)
    metrics.stage_duration.labels("infer").observe(0.03)
    metrics.waiting.labels("live").set(3)
    metrics.waiting.labels("upload").set(1)
    metrics.queue_age.labels("live").set(0.2)
    metrics.queue_age.labels("upload").set(3)
    figures = newest(filled([(0.0, before), (2.0, read(metrics.registry))]))
    assert figures.answered_fps == 10
    assert figures.late_fps == 5
    assert (figures.owed_frames, figures.missed_frames) == (10, 1)
    assert (figures.failed_frames, figures.refused_frames) == (3, 2)
    assert figures.batch_size == 4
    assert figures.busy_share == 0.25
    assert figures.infer_s == pytest.approx(0.03)
    assert figures.infer_p95_s == pytest.approx(0.03, rel=0.2)
    assert figures.waiting == 4
    assert (figures.live_wait_s, figures.upload_wait_s) == (0.2, 3)
    assert figures.age_p95_s is None, "no live frame was answered"


def test_models_that_have_nothing_to_do_dont_dilute_how_busy_another_is() -> None:
    before, after = (
        {
            "sightline_engines_running/busy": 2.0,
            "sightline_engine_busy_seconds_total/busy": busy_s,
            "sightline_engines_running/idle": 6.0,
            "sightline_engine_busy_seconds_total/idle": 9.0,
        }
        for busy_s in (100.0, 103.0)
    )
    figures = newest(filled([(0.0, before), (2.0, after)]))
    assert figures.busy_share == 0.75
    assert figures.engines == 8


@pytest.mark.parametrize(
    ("engines", "busy_s", "share"),
    [
        pytest.param({}, {}, None, id="no model is in memory"),
        pytest.param({"a": 0.0}, {"a": 1.0}, None, id="its engines have all ended"),
        pytest.param({"a": 1.0}, {}, None, id="nothing is known of its time yet"),
        pytest.param({"a": 1.0}, {"a": 4.0}, 1.0, id="one of two engines has ended since"),
        pytest.param({"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 1.0}, 0.5, id="the busier one counts"),
    ],
)
def test_how_busy_the_busiest_model_is(
    engines: dict[str, float], busy_s: dict[str, float], share: float | None
) -> None:
    now = {f"sightline_engines_running/{model}": count for model, count in engines.items()}
    now |= {f"sightline_engine_busy_seconds_total/{model}": s for model, s in busy_s.items()}
    assert newest(filled([(0.0, {}), (2.0, now)])).busy_share == share


def test_several_gpus_are_told_together() -> None:
    metrics = Metrics()
    metrics.registry.register(Gpus())
    figures = newest(filled([(0.0, read(metrics.registry))]))
    assert figures.gpu_share == pytest.approx(0.4)
    assert (figures.gpu_celsius, figures.gpu_slowdown_celsius) == (70, 85)
    assert (figures.gpu_memory_bytes, figures.gpu_memory_total_bytes) == (3, 20)


def test_a_reading_is_small_and_holds_only_numbers() -> None:
    metrics = Metrics()
    metrics.deadline.set(math.inf)
    reading = read(metrics.registry)
    assert len(reading) < MOST_COLUMNS / 2
    assert all(math.isfinite(value) for value in reading.values())
    assert {name.split("/")[0] for name in reading} <= KEPT


def test_every_metric_that_a_figure_is_made_of_exists_and_no_other_is_kept(
    tmp_path: Path,
) -> None:
    assert {RESTARTS, REFUSALS, f"{LOOP_LAG}_bucket"} == KEPT - NEEDED, "told of by themselves"
    metrics = Metrics()
    metrics.add(HostCollector(tmp_path))
    metrics.add(EngineProcessCollector(list))
    metrics.registry.register(Gpus())
    metrics.engine_busy.labels("any")
    metrics.engines_running.labels("any")
    found = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    only_in_a_container = {"sightline_memory_used_bytes", "sightline_memory_limit_bytes"}
    assert KEPT - found <= only_in_a_container


def test_a_counter_that_fell_began_again() -> None:
    busy = "sightline_engine_busy_seconds_total/model"
    assert Span({busy: 50.0}, {busy: 1.0}, WINDOW_S).increase(busy) == 1


class Driver(Collector):
    """Notes who asks it, and fails when it is told to."""

    def __init__(self) -> None:
        self.asked_on: list[threading.Thread] = []
        self.error: Exception | None = None

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        self.asked_on.append(threading.current_thread())
        if self.error is not None:
            raise self.error
        yield GaugeMetricFamily("gpu_utilization", "Busy.", 0.5)

    async def asked_again(self) -> None:
        """Wait until it has been asked three times more."""
        before = len(self.asked_on)
        while len(self.asked_on) < before + 3:  # noqa: ASYNC110  asked on another thread
            await asyncio.sleep(0.005)


@asynccontextmanager
async def kept(driver: Driver) -> AsyncIterator[History]:
    """Keep a history of what a driver says."""
    registry, history = CollectorRegistry(), History(every_s=0.01)
    registry.register(driver)
    task = asyncio.create_task(keep(history, registry, asyncio.to_thread))
    try:
        yield history
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_readings_are_taken_where_they_are_told_to_be() -> None:
    driver = Driver()
    async with kept(driver) as history:
        await driver.asked_again()
    assert threading.main_thread() not in driver.asked_on
    assert len(history.points(900)) >= 2
    assert history.latest_s is not None


async def test_bad_readings_are_left_out_and_logged_once_for_each_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    driver = Driver()
    async with kept(driver) as history:
        await driver.asked_again()
        for driver.error in (OSError("the driver is gone"), TimeoutError(), None, OSError("again")):
            await driver.asked_again()
        readings = len(history.points(900))
        assert readings >= 4, "they go on in between"
    assert len(caplog.records) == 3, "not one for each reading"
    assert "the driver is gone" in caplog.text
