"""What operators look at: each figure's name, and how it comes from the metrics.

Rates, quantiles, means and counts are over the seconds before a moment, gauges are of the moment.
Names end in their unit: `_fps` pictures a second, `_s` seconds, `_share` 0 to 1, `_cpu` processors
in use, `_frames` how many in those seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from sightline_monitoring.span import Span, ratio


def _figure(work: Callable[[Span], float | None], *samples: str) -> Any:
    """Return a field that `work` fills from a span of readings that hold these samples."""
    metrics = [sample.split("/")[0] for sample in samples]
    return field(default=None, metadata={"work": work, "metrics": metrics})


def _gauge(sample: str) -> Any:
    return _figure(lambda span: span.now(sample), sample)


def _total(metric: str) -> Any:
    return _figure(lambda span: span.total(metric), metric)


def _rate(*samples: str) -> Any:
    return _figure(lambda span: span.rate(*samples), *samples)


def _count(*samples: str) -> Any:
    return _figure(lambda span: span.increase(*samples), *samples)


def _mean(histogram: str, label: str = "") -> Any:
    work = lambda span: span.mean(histogram, label)  # noqa: E731  beside its siblings
    return _figure(work, f"{histogram}_sum", f"{histogram}_count")


def _quantile(histogram: str, share: float) -> Any:
    return _figure(lambda span: span.quantile(histogram, share), f"{histogram}_bucket")


def _busy(span: Span) -> float | None:
    """Return the busiest model's share; models that have nothing to do don't dilute it."""
    engines = span.labelled("sightline_engines_running")
    shares = [
        ratio(span.rate(f"sightline_engine_busy_seconds_total/{model}"), span.now(name))
        for model, name in engines.items()
    ]
    # An engine may have left since: no share is above 1.
    return max((min(1.0, share) for share in shares if share is not None), default=None)


def _memory_in_use(span: Span) -> float | None:
    total = span.now("sightline_host_memory_bytes/total")
    available = span.now("sightline_host_memory_bytes/available")
    return None if total is None or available is None else total - available


def _open_files(span: Span) -> float | None:
    return ratio(span.now("process_open_fds"), span.now("process_max_fds"))


_ENDED, _OWED = "sightline_frames_total", "sightline_admitted_frames_total"
_DROPPED = "sightline_frames_dropped_total"
_AGE, _INFER = "sightline_result_age_seconds", "inference_latency_seconds"
_STAGE = "sightline_stage_duration_seconds"


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one moment; None: there is no such thing here, or nothing was observed."""

    answered_fps: float | None = _rate("images_processed_total")
    dropped_fps: float | None = _rate(f"{_ENDED}/dropped")
    refused_fps: float | None = _rate(f"{_ENDED}/refused")
    failed_fps: float | None = _rate(f"{_ENDED}/failed")
    superseded_fps: float | None = _rate(f"{_DROPPED}/superseded")
    late_fps: float | None = _rate(f"{_DROPPED}/late")
    closing_fps: float | None = _rate(f"{_DROPPED}/closing")
    refused_frames: float | None = _count(f"{_ENDED}/refused")
    failed_frames: float | None = _count(f"{_ENDED}/failed")
    owed_frames: float | None = _count(f"{_OWED}/yes", f"{_OWED}/no")  # an answer in time
    missed_frames: float | None = _count(f"{_OWED}/no")  # those of them that got none
    age_p50_s: float | None = _quantile(_AGE, 0.5)
    age_p95_s: float | None = _quantile(_AGE, 0.95)
    age_p99_s: float | None = _quantile(_AGE, 0.99)
    infer_p50_s: float | None = _quantile(_INFER, 0.5)
    infer_p95_s: float | None = _quantile(_INFER, 0.95)
    decode_s: float | None = _mean(_STAGE, "/decode")
    queue_s: float | None = _mean("sightline_queue_duration_seconds")
    preprocess_s: float | None = _mean(_STAGE, "/preprocess")
    infer_s: float | None = _mean(_STAGE, "/infer")
    postprocess_s: float | None = _mean(_STAGE, "/postprocess")
    deadline_s: float | None = _gauge("sightline_deadline_seconds")
    batch_size: float | None = _mean("sightline_batch_size")
    best_batch_size: float | None = _gauge("sightline_best_batch_size")
    busy_share: float | None = _figure(
        _busy, "sightline_engine_busy_seconds_total", "sightline_engines_running"
    )
    engines: float | None = _total("sightline_engines_running")
    engine_ready: float | None = _gauge("sightline_engine_ready")
    fallback: float | None = _gauge("sightline_engine_fallback")
    streams: float | None = _gauge("sightline_streams_active")
    waiting: float | None = _total("sightline_waiting")
    live_wait_s: float | None = _gauge("sightline_queue_age_seconds/live")  # of the longest
    upload_wait_s: float | None = _gauge("sightline_queue_age_seconds/upload")
    capacity_fps: float | None = _gauge("sightline_capacity_fps")
    gpu_share: float | None = _gauge("gpu_utilization")
    gpu_memory_bytes: float | None = _gauge("gpu_memory_used_bytes")
    gpu_memory_total_bytes: float | None = _gauge("gpu_memory_total_bytes")
    gpu_celsius: float | None = _gauge("gpu_temperature_celsius")
    gpu_slowdown_celsius: float | None = _gauge("gpu_slowdown_temperature_celsius")
    host_cpu_share: float | None = _gauge("sightline_host_cpu_utilization")
    server_cpu: float | None = _rate("process_cpu_seconds_total")
    engines_cpu: float | None = _rate("sightline_engine_cpu_seconds_total")
    host_memory_bytes: float | None = _figure(_memory_in_use, "sightline_host_memory_bytes")
    host_memory_total_bytes: float | None = _gauge("sightline_host_memory_bytes/total")
    memory_used_bytes: float | None = _gauge("sightline_memory_used_bytes")  # in a container
    memory_limit_bytes: float | None = _gauge("sightline_memory_limit_bytes")
    server_memory_bytes: float | None = _gauge("process_resident_memory_bytes")
    engines_memory_bytes: float | None = _gauge("sightline_engine_memory_bytes")
    disk_free_bytes: float | None = _gauge("sightline_host_disk_bytes/free")
    disk_total_bytes: float | None = _gauge("sightline_host_disk_bytes/total")
    open_files_share: float | None = _figure(_open_files, "process_open_fds", "process_max_fds")


_WORK = {one.name: one.metadata["work"] for one in fields(Figures)}
NEEDED = frozenset(metric for one in fields(Figures) for metric in one.metadata["metrics"])
"""The samples that figures are made of, by their names without labels."""


def figures(span: Span) -> Figures:
    """Return the figures at the end of a span."""
    return Figures(**{name: work(span) for name, work in _WORK.items()})
