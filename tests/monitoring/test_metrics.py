"""Names, units, buckets and labels: what dashboards and alerts rely on."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sightline_monitoring.buckets import LATENCY_BUCKETS_S
from sightline_monitoring.engine_processes import EngineProcessCollector
from sightline_monitoring.gpu import GpuCollector
from sightline_monitoring.host import HostCollector
from sightline_monitoring.lifecycle import (
    BUILD_RESULTS,
    JOB_KINDS,
    JOB_RESULTS,
    SWAP_RESULTS,
)
from sightline_monitoring.memory_limit import MemoryLimitCollector
from sightline_monitoring.metrics import (
    DROP_REASONS,
    REFUSAL_REASONS,
    RESTART_REASONS,
    RESULTS,
    STAGES,
    Metrics,
)
from sightline_monitoring.model_info import ModelLabels
from sightline_monitoring.triton import CALL_RESULTS, DEPLOYMENT_RESULTS, RELOAD_RESULTS, CallResult

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
# Called as users of this field call them; the rest has a prefix and base units.
KEPT = {"inference_latency_seconds", "images_processed_total", "inference_fps"}
FIXED = {
    "sightline_frames_total": set(RESULTS),
    "sightline_frames_dropped_total": set(DROP_REASONS),
    "sightline_admitted_frames_total": {"yes", "no"},
    "sightline_refusals_total": set(REFUSAL_REASONS),
    "sightline_stage_duration_seconds": set(STAGES),
    "sightline_waiting": {"live", "upload"},
    "sightline_queue_age_seconds": {"live", "upload"},
    "sightline_engine_restarts_total": set(RESTART_REASONS),
    "sightline_model_loads_total": {"loaded", "failed"},
    "sightline_jobs_total": {*JOB_KINDS, *JOB_RESULTS},
    "sightline_job_duration_seconds": set(JOB_KINDS),
    "sightline_jobs_open": {"queued", "running"},
    "sightline_engine_builds_total": set(BUILD_RESULTS),
    "sightline_model_swaps_total": set(SWAP_RESULTS),
    "sightline_shadow_frames_total": {"yes", "no"},
    "sightline_triton_models": {"ready", "unavailable"},
    "sightline_triton_probes_total": {"ok", "failed"},
    "sightline_triton_reloads_total": set(RELOAD_RESULTS),
    "sightline_triton_calls_total": set(CALL_RESULTS),
    "sightline_triton_batches_total": {"triton", "fallback"},
    "sightline_triton_deployments_total": set(DEPLOYMENT_RESULTS),
    "sightline_host_memory_bytes": {"total", "available"},
    "sightline_host_disk_bytes": {"total", "free"},
    "sightline_host_network_bytes_total": {"sent", "received"},
}


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    metrics = Metrics("1.2.3")
    for file, text in {"memory.max": "4096", "memory.current": "1024"}.items():
        (tmp_path / file).write_text(text)
    (tmp_path / "memory.stat").write_text("anon 900\ninactive_file 24\n")
    for collector in (
        HostCollector(tmp_path),
        EngineProcessCollector(list),
        MemoryLimitCollector(tmp_path),
    ):
        metrics.add(collector)
    metrics.triton.watched(live=True, ready=2, unavailable=0)
    return metrics


def full_name(family: Metric) -> str:
    """Return a metric's name as PromQL spells it, but for a histogram's endings."""
    return family.name + ("_total" if family.type == "counter" else "")


def families(metrics: Metrics) -> dict[str, Metric]:
    """Return what a scrape yields, by name, the process's own metrics left out."""
    text = generate_latest(metrics.registry).decode()
    found = {full_name(family): family for family in text_string_to_metric_families(text)}
    return {name: family for name, family in found.items() if not name.startswith("process_")}


def documented() -> dict[str, set[str]]:
    """Return the names in docs/metrics.md, each with its labels."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*)\|", DOCS.read_text(), re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def test_every_documented_name_is_there_and_no_other(metrics: Metrics) -> None:
    gpu = {full_name(family) for family in GpuCollector().describe()}
    assert set(families(metrics)) | gpu == set(documented())


def test_labels_are_the_documented_ones(metrics: Metrics) -> None:
    metrics.models_in_memory([ModelLabels("webcam", "1", "openvino", "fp32", "cpu")])
    metrics.engines_running.labels("webcam")
    metrics.engine_busy.labels("webcam")
    metrics.lifecycle.promoted({"webcam": 0.4}, {"webcam": 0.002}, {"webcam": 1.1})
    for name, family in families(metrics).items():
        labels = {key for sample in family.samples for key in sample.labels} - {"le"}
        assert labels == documented()[name], name
    for family in GpuCollector().describe():
        assert set(family._labelnames) == documented()[full_name(family)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(FIXED))
def test_labels_take_a_fixed_set_of_values_and_all_are_there_from_the_start(
    metrics: Metrics, name: str
) -> None:
    samples = families(metrics)[name].samples
    assert {v for s in samples for k, v in s.labels.items() if k != "le"} == FIXED[name]


def test_names_end_in_base_units_and_say_what_they_are(metrics: Metrics) -> None:
    for name, family in families(metrics).items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert name in KEPT or name.startswith(("sightline_", "gpu_")), name
        assert not re.search(r"_(ms|millis|milliseconds|minutes|percent|kb|mb)(_|$)", name)
        assert family.documentation.endswith("."), name
        if re.search("duration|latency|_age_|lag|deadline", name):
            assert name.endswith("_seconds"), name


def test_no_created_series_doubles_the_rest(metrics: Metrics) -> None:
    assert "_created" not in generate_latest(metrics.registry).decode()


def test_latency_buckets_are_a_quarter_apart_from_half_a_millisecond() -> None:
    assert LATENCY_BUCKETS_S[0] == 0.0005
    assert LATENCY_BUCKETS_S[-1] == 10
    for low, high in itertools.pairwise(LATENCY_BUCKETS_S):
        assert 1.24 < high / low < 1.29


def test_an_engine_call_and_its_pictures_are_counted(metrics: Metrics) -> None:
    metrics.engine_ran(4)
    for _ in range(4):
        metrics.image_processed(0.03)
    value = metrics.registry.get_sample_value
    assert value("sightline_engine_executions_total") == 1
    assert value("sightline_batch_size_sum") == 4
    assert value("images_processed_total") == 4
    assert value("inference_latency_seconds_sum") == pytest.approx(0.12)
    assert value("inference_latency_seconds_bucket", {"le": "0.0315"}) == 4
    assert value("inference_latency_seconds_bucket", {"le": "0.025"}) == 0


def test_gauges_are_read_when_they_are_scraped(metrics: Metrics) -> None:
    streams: list[int] = []
    metrics.watch_streams(lambda: len(streams))
    metrics.watch_engine(lambda: bool(streams))
    value = metrics.registry.get_sample_value
    assert (value("sightline_streams_active"), value("sightline_engine_ready")) == (0, 0)
    streams.extend([1, 2])
    assert (value("sightline_streams_active"), value("sightline_engine_ready")) == (2, 1)


def test_a_model_that_leaves_memory_leaves_no_series(metrics: Metrics) -> None:
    one, two = (ModelLabels(name, "1", "openvino", "fp32", "cpu") for name in ("one", "two"))
    told = []
    for models in ([], [one], [one, two], [two]):
        metrics.models_in_memory(models)
        samples = families(metrics)["sightline_model_info"].samples
        told.append([sample.labels["model"] for sample in samples])
    assert told == [[], ["one"], ["one", "two"], ["two"]]


def test_two_servers_in_one_process_count_apart() -> None:
    one, two = Metrics(), Metrics(registry=CollectorRegistry())
    one.engine_ran(1)
    assert two.registry.get_sample_value("sightline_engine_executions_total") == 0


def test_what_is_said_of_promoted_models_replaces_what_was_said_before(metrics: Metrics) -> None:
    value = metrics.registry.get_sample_value
    metrics.lifecycle.promoted({"webcam": 0.4, "yolo": 0.5}, {"webcam": 0.02}, {})
    metrics.lifecycle.promoted({"webcam": 0.41}, {}, {"webcam": 1.5})
    assert value("sightline_model_accuracy", {"model": "webcam"}) == 0.41
    assert value("sightline_model_accuracy", {"model": "yolo"}) is None
    assert value("sightline_model_accuracy_loss", {"model": "webcam"}) is None
    assert value("sightline_model_slowdown_ratio", {"model": "webcam"}) == 1.5


def test_only_jobs_that_ran_to_their_end_count_in_how_long_jobs_take(metrics: Metrics) -> None:
    value = metrics.registry.get_sample_value
    for result in JOB_RESULTS:
        metrics.lifecycle.job_ended("convert", result, 4.0)
        assert value("sightline_jobs_total", {"kind": "convert", "result": result}) == 1
    assert value("sightline_job_duration_seconds_count", {"kind": "convert"}) == 2


def test_a_server_without_triton_tells_nothing_of_one_being_away() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    assert value("sightline_triton_live") is None
    assert value("sightline_triton_models", {"state": "unavailable"}) is None
    assert value("sightline_triton_probes_total", {"result": "failed"}) == 0
    metrics.triton.watched(live=False, ready=0, unavailable=2)
    metrics.triton.watched(live=True, ready=1, unavailable=1)
    assert value("sightline_triton_live") == 1
    assert value("sightline_triton_models", {"state": "ready"}) == 1
    assert value("sightline_triton_models", {"state": "unavailable"}) == 1


@pytest.mark.parametrize("result", CALL_RESULTS)
def test_only_calls_that_triton_answered_count_in_how_long_it_takes(
    metrics: Metrics, result: CallResult
) -> None:
    value = metrics.registry.get_sample_value
    metrics.triton.called(result, 0.02)
    assert value("sightline_triton_calls_total", {"result": result}) == 1
    assert value("sightline_triton_call_duration_seconds_count") == (result == "ok")


def test_batches_are_counted_by_who_ran_them(metrics: Metrics) -> None:
    value = metrics.registry.get_sample_value
    for active in (False, True, True):
        metrics.triton.fell_back(active)
    assert value("sightline_triton_batches_total", {"ran_on": "triton"}) == 1
    assert value("sightline_triton_batches_total", {"ran_on": "fallback"}) == 2
