"""One look at the registry: what the Monitor page needs of it, as a flat table."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry

from sightline_monitoring.figures import NEEDED
from sightline_monitoring.span import Reading

RESTARTS, REFUSALS = "sightline_engine_restarts_total", "sightline_refusals_total"
LOOP_LAG = "sightline_event_loop_lag_seconds"
KEPT = NEEDED | {RESTARTS, REFUSALS, f"{LOOP_LAG}_bucket"}
"""The samples that a reading holds; a few hundred numbers in all."""

_HOTTEST = {"gpu_temperature_celsius"}  # of several GPUs the worst counts
_LEAST = {"gpu_slowdown_temperature_celsius"}
_MEAN = {"gpu_utilization"}


def read(registry: CollectorRegistry) -> Reading:
    """Return what is kept of the registry's present state.

    Asks the driver and the operating system, which may take milliseconds: not for an event
    loop's thread. What a machine lacks, such as a GPU, is absent.
    """
    found: dict[str, float] = {}
    gpus: dict[str, list[float]] = {}
    for family in registry.collect():
        for sample in family.samples:
            if sample.name not in KEPT or not math.isfinite(sample.value):
                continue
            if "gpu" in sample.labels:
                gpus.setdefault(sample.name, []).append(sample.value)
            else:
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
