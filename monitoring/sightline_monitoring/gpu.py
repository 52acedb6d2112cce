"""The `gpu_*` metrics, asked of the driver at each scrape; nothing where there is no GPU.

`gpu` is the card's index on this machine. What a card doesn't tell has no series.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sightline_monitoring import nvml
from sightline_monitoring.nvml import GpuReading, XidEvents

# name → help, further label
_GAUGES = {
    "gpu_utilization": ("Share of time the GPU was busy, 0 to 1.", ""),
    "gpu_memory_used_bytes": ("Memory of the GPU in use.", ""),
    "gpu_memory_total_bytes": ("Memory of the GPU.", ""),
    "gpu_temperature_celsius": ("Temperature of the GPU's chip.", ""),
    "gpu_slowdown_temperature_celsius": ("Temperature at which the GPU slows itself down.", ""),
    "gpu_power_watts": ("Power that the GPU draws.", ""),
    "gpu_power_limit_watts": ("Power that the GPU may draw.", ""),
    "gpu_clock_hertz": ("Clock of the GPU's processors and of its memory.", "clock"),
    "gpu_throttled": ("1 while the GPU is held below its clock, by reason, else 0.", "reason"),
}
_COUNTERS = {
    "gpu_ecc_errors": ("Memory errors since the driver was loaded, by kind.", "kind"),
    "gpu_xid_errors": ("Critical errors that the driver reported since the first scrape.", ""),
}


class GpuCollector(Collector):
    """Yields what each GPU tells."""

    def __init__(self) -> None:
        self._xids: XidEvents | None = None
        self._lock = threading.Lock()  # two scrapes may come at once

    def describe(self) -> list[Metric]:
        """Return the names without asking the driver."""
        return list(_families().values())

    def collect(self) -> Iterator[Metric]:
        """Ask the driver; yields nothing without a driver or a GPU."""
        families = _families()
        with self._lock:
            handles = nvml.devices()
            for gpu, handle in enumerate(handles):
                if handle is not None:
                    _add(families, str(gpu), nvml.read(handle))
            if handles:
                self._xids = self._xids or XidEvents(handles)
                self._xids.drain()
                for gpu, count in self._xids.counts.items():
                    families["gpu_xid_errors"].add_metric([str(gpu)], count)
        yield from (family for family in families.values() if family.samples)


def _families() -> dict[str, GaugeMetricFamily | CounterMetricFamily]:
    gauges = {
        name: GaugeMetricFamily(name, text, labels=["gpu", label] if label else ["gpu"])
        for name, (text, label) in _GAUGES.items()
    }
    counters = {
        name: CounterMetricFamily(name, text, labels=["gpu", label] if label else ["gpu"])
        for name, (text, label) in _COUNTERS.items()
    }
    return {**gauges, **counters}


def _add(
    families: Mapping[str, GaugeMetricFamily | CounterMetricFamily], gpu: str, told: GpuReading
) -> None:
    used, total = told.memory_bytes or (None, None)
    single = {
        "gpu_utilization": told.utilization,
        "gpu_memory_used_bytes": used,
        "gpu_memory_total_bytes": total,
        "gpu_temperature_celsius": told.temperature_c,
        "gpu_slowdown_temperature_celsius": told.slowdown_c,
        "gpu_power_watts": told.power_w,
        "gpu_power_limit_watts": told.power_limit_w,
    }
    for name, value in single.items():
        if value is not None:
            families[name].add_metric([gpu], value)
    several = {
        "gpu_clock_hertz": told.clock_hz,
        "gpu_throttled": told.throttled,
        "gpu_ecc_errors": told.ecc_errors,
    }
    for name, values in several.items():
        for label, number in (values or {}).items():
            families[name].add_metric([gpu, label], float(number))
