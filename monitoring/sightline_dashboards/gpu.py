"""The panels of a GPU; on a machine without one they say so."""

from __future__ import annotations

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models import units

from sightline_dashboards.colours import GOOD, WARNING
from sightline_dashboards.panels import Panel, Query, Steps, bars, timeline, trend
from sightline_dashboards.queries import grown, most

NO_GPU = "no GPU on this machine"


def gpu_load() -> list[Panel]:
    """Return how much of each GPU is in use."""
    return [
        _gpu(
            "GPU use",
            "Share of time the GPU works. Above 95 %: no reserve. Near zero with traffic: the "
            "model runs on the processor, see Models.",
            units.PercentUnit,
            Query(_each("gpu_utilization"), "GPU {{gpu}}"),
            steps={0.95: WARNING},
        ).max(1),
        _gpu(
            "GPU memory",
            "Used, and what there is. Within a tenth of the whole: keep fewer models in memory "
            "(SIGHTLINE_MAX_MODELS) or smaller batches (SIGHTLINE_MAX_BATCH).",
            units.BytesIEC,
            Query(_each("gpu_memory_used_bytes"), "GPU {{gpu}} used"),
            Query(_each("gpu_memory_total_bytes"), "GPU {{gpu}} total", limit=True),
        ),
        _gpu(
            "GPU temperature",
            "The dashed line is where the GPU slows itself down. Within five degrees of it: look "
            "at fans, dust and the room.",
            units.Celsius,
            Query(_each("gpu_temperature_celsius"), "GPU {{gpu}}"),
            Query(_each("gpu_slowdown_temperature_celsius"), "GPU {{gpu}} slows down", limit=True),
        ),
        _gpu(
            "GPU power",
            "Drawn, and the limit that is set. At the limit the clocks fall: raise it with "
            "nvidia-smi if supply and cooling allow.",
            units.Watt,
            Query(_each("gpu_power_watts"), "GPU {{gpu}}"),
            Query(_each("gpu_power_limit_watts"), "GPU {{gpu}} limit", limit=True),
        ),
    ]


def gpu_health() -> list[Panel]:
    """Return what holds each GPU back, and its faults."""
    clocks = most("gpu_clock_hertz", "instance", "gpu", "clock")
    throttled = most("gpu_throttled", "instance", "gpu", "reason")
    return [
        _gpu(
            "GPU clocks",
            "They fall while the GPU rests, which is right. Low under load: see 'GPU slowed down'.",
            units.Hertz,
            Query(clocks, "GPU {{gpu}} {{clock}}"),
        ),
        timeline(
            "GPU slowed down",
            "Orange: the GPU held itself back. Power: at its limit. Thermal: too hot. Hardware: "
            "the supply or the board says so; have it looked at.",
            {0: ("at full speed", GOOD), 1: ("slowed down", WARNING)},
            Query(throttled, "GPU {{gpu}} {{reason}}"),
        )
        .span(6)
        .height(8)
        .no_value(NO_GPU),
        bars(
            _gpu(
                "GPU memory errors",
                "ECC errors. Corrected ones now and then are harmless. Uncorrected ones: drain "
                "the machine, reset the GPU; if they come back, replace it.",
                units.Short,
                Query(grown("gpu_ecc_errors_total", "kind"), "{{kind}}"),
            )
        ),
        bars(
            _gpu(
                "GPU faults (XID)",
                "Faults that the driver reports. Any: `dmesg | grep -i xid` tells the number, "
                "NVIDIA's list what it means.",
                units.Short,
                Query(grown("gpu_xid_errors_total", "gpu"), "GPU {{gpu}}"),
            )
        ),
    ]


def _gpu(
    title: str, about: str, unit: str, *queries: Query, steps: Steps | None = None
) -> timeseries.Panel:
    return trend(title, about, unit, *queries, steps=steps).span(6).no_value(NO_GPU)


def _each(metric: str) -> str:
    return most(metric, "instance", "gpu")
