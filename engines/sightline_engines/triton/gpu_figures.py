"""How much Triton's GPUs have to do, as its metrics page says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline_engines.triton.metrics_page import Sample

_FIELDS = {
    "nv_gpu_utilization": "use",
    "nv_gpu_memory_used_bytes": "memory_bytes",
    "nv_gpu_memory_total_bytes": "memory_total_bytes",
    "nv_gpu_power_usage": "power_watts",
}


@dataclass(frozen=True, slots=True)
class GpuFigures:
    """One GPU; None: it doesn't say."""

    uuid: str
    use: float | None = None  # from 0 to 1
    memory_bytes: float | None = None
    memory_total_bytes: float | None = None
    power_watts: float | None = None


def gpu_figures(samples: Sequence[Sample]) -> tuple[GpuFigures, ...]:
    """Return the GPUs of a metrics page, by their ids; none without GPUs or their metrics."""
    found: dict[str, dict[str, float]] = {}
    for one in samples:
        if one.name in _FIELDS and "gpu_uuid" in one.labels and one.value == one.value:
            found.setdefault(one.labels["gpu_uuid"], {})[_FIELDS[one.name]] = one.value
    return tuple(GpuFigures(uuid, **found[uuid]) for uuid in sorted(found))
