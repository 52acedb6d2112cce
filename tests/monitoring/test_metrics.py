"""Names, units, buckets and labels: what dashboards and alerts rely on."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sightline_monitoring.metrics import (
    DROP_REASONS,
    LATENCY_BUCKETS_S,
    RESTART_REASONS,
    RESULTS,
    STAGES,
    Metrics,
)

# Called as users of this field call them; the rest has the prefix and base units.
KEPT = {"inference_latency_seconds", "images_processed", "inference_fps"}
OURS = {
    "sightline_frames": {"result"},
    "sightline_frames_dropped": {"reason"},
    "sightline_stage_duration_seconds": {"stage"},
    "sightline_queue_duration_seconds": set(),
    "sightline_result_age_seconds": set(),
    "sightline_batch_size": set(),
    "sightline_engine_executions": set(),
    "sightline_engine_ready": set(),
    "sightline_engine_restarts": {"reason"},
    "sightline_event_loop_lag_seconds": set(),
    "sightline_streams_active": set(),
}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def families(metrics: Metrics) -> dict[str, Metric]:
    """Return what a scrape yields, by name, the process's own metrics left out."""
    text = generate_latest(metrics.registry).decode()
    found = {family.name: family for family in text_string_to_metric_families(text)}
    return {name: family for name, family in found.items() if not name.startswith("process_")}


def test_every_documented_name_is_there_and_no_other(metrics: Metrics) -> None:
    assert set(families(metrics)) - {"gpu_utilization"} == KEPT | set(OURS)


def test_labels_are_the_documented_ones_with_a_fixed_set_of_values(metrics: Metrics) -> None:
    reasons = {*DROP_REASONS, *RESTART_REASONS}
    fixed = {"result": set(RESULTS), "reason": reasons, "stage": set(STAGES)}
    for name, family in families(metrics).items():
        names = {key for sample in family.samples for key in sample.labels} - {"le", "gpu"}
        assert names == OURS.get(name, set()), name
        for sample in family.samples:
            for key, value in sample.labels.items():
                assert key in ("le", "gpu") or value in fixed[key]


def test_names_end_in_base_units_and_say_what_they_are(metrics: Metrics) -> None:
    for name, family in families(metrics).items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert not re.search(r"_(ms|millis|milliseconds|minutes|percent|kb|mb|total)(_|$)", name)
        assert family.documentation.endswith("."), name
        if any(word in name for word in ("duration", "latency", "age")) and "images" not in name:
            assert name.endswith("_seconds"), name


def test_no_created_series_doubles_the_rest(metrics: Metrics) -> None:
    assert "_created" not in generate_latest(metrics.registry).decode()


def test_latency_buckets_rise_from_half_a_millisecond() -> None:
    assert LATENCY_BUCKETS_S[0] == 0.0005
    assert list(LATENCY_BUCKETS_S) == sorted(set(LATENCY_BUCKETS_S))
    assert LATENCY_BUCKETS_S[-1] >= 10


def test_an_engine_call_and_its_pictures_are_counted(metrics: Metrics) -> None:
    metrics.engine_ran(4)
    for _ in range(4):
        metrics.image_processed(0.03)
    value = metrics.registry.get_sample_value
    assert value("sightline_engine_executions_total") == 1
    assert value("sightline_batch_size_sum") == 4
    assert value("images_processed_total") == 4
    assert value("inference_latency_seconds_sum") == pytest.approx(0.12)
    assert value("inference_latency_seconds_bucket", {"le": "0.033"}) == 4
    assert value("inference_latency_seconds_bucket", {"le": "0.016"}) == 0


def test_gauges_are_read_when_they_are_scraped(metrics: Metrics) -> None:
    streams: list[int] = []
    metrics.watch_streams(lambda: len(streams))
    metrics.watch_engine(lambda: bool(streams))
    value = metrics.registry.get_sample_value
    assert (value("sightline_streams_active"), value("sightline_engine_ready")) == (0, 0)
    streams.extend([1, 2])
    assert (value("sightline_streams_active"), value("sightline_engine_ready")) == (2, 1)


def test_two_servers_in_one_process_count_apart() -> None:
    one, two = Metrics(), Metrics(CollectorRegistry())
    one.engine_ran(1)
    assert two.registry.get_sample_value("sightline_engine_executions_total") == 0
