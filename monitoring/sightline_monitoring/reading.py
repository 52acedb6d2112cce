"""One look at the registry: the figures that the Monitor page needs, as a flat table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from prometheus_client import CollectorRegistry

Reading: TypeAlias = Mapping[str, float]
"""A sample's name, with its one label's value after a slash, to its value."""

_COUNTERS_AND_GAUGES = (
    "images_processed_total",
    "sightline_frames_total",
    "sightline_frames_dropped_total",
    "sightline_admitted_frames_total",
    "sightline_refusals_total",
    "sightline_deadline_seconds",
    "sightline_waiting",
    "sightline_queue_age_seconds",
    "sightline_streams_active",
    "sightline_capacity_fps",
    "sightline_reserved_fps",
    "sightline_best_batch_size",
    "sightline_engine_executions_total",
    "sightline_engine_busy_seconds_total",
    "sightline_engines_running",
    "sightline_engine_ready",
    "sightline_engine_restarts_total",
    "sightline_engine_fallback",
    "sightline_engine_memory_bytes",
    "sightline_engine_cpu_seconds_total",
    "sightline_host_cpu_utilization",
    "sightline_host_memory_bytes",
    "sightline_host_disk_bytes",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
)
_QUANTILES_OF = (
    "inference_latency_seconds",
    "sightline_result_age_seconds",
    "sightline_event_loop_lag_seconds",
)
_MEANS_OF = (
    "sightline_queue_duration_seconds",
    "sightline_stage_duration_seconds",
    "sightline_batch_size",
)
_HOTTEST = {"gpu_temperature_celsius"}  # of several GPUs the worst counts
_LEAST = {"gpu_slowdown_temperature_celsius"}
_SUMMED = {"gpu_memory_used_bytes", "gpu_memory_total_bytes"}
_MEAN = {"gpu_utilization"}
_GPU = _HOTTEST | _LEAST | _SUMMED | _MEAN

KEPT = frozenset(
    (
        *_COUNTERS_AND_GAUGES,
        *(f"{name}_bucket" for name in _QUANTILES_OF),
        *(f"{name}_{end}" for name in _MEANS_OF for end in ("sum", "count")),
        *_GPU,
    )
)
"""The samples that a reading holds; a few hundred numbers in all."""


def read(registry: CollectorRegistry) -> Reading:
    """Return what is kept of the registry's present state.

    Asks the driver and the operating system, which may take milliseconds: not for an event
    loop's thread. What a machine lacks, such as a GPU, is absent.
    """
    found: dict[str, float] = {}
    gpus: dict[str, list[float]] = {}
    for family in registry.collect():
        for sample in family.samples:
            if not math.isfinite(sample.value):
                continue
            if sample.name in _GPU:
                gpus.setdefault(sample.name, []).append(sample.value)
            elif sample.name in KEPT:
                found["/".join((sample.name, *sample.labels.values()))] = sample.value
    for name, values in gpus.items():
        found[name] = _together(name, values)
    return found


def _together(name: str, values: list[float]) -> float:
    """Make one figure of those of several GPUs, so that a reading's size doesn't grow."""
    if name in _HOTTEST:
        return max(values)
    if name in _LEAST:
        return min(values)
    return sum(values) / (len(values) if name in _MEAN else 1)
