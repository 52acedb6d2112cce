"""The panels of what Triton tells of its models and its GPUs."""

from __future__ import annotations

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models import units

from sightline_dashboards.gpu import NO_GPU
from sightline_dashboards.panels import Panel, Query, bars, trend
from sightline_dashboards.queries import RATE

NONE = "no Triton"
SUCCESS = "nv_inference_request_success"
PHASES = (  # metric, title, what to do
    (
        "queue",
        "Mean time: queue",
        "Waiting. Long: more instances or larger batches; `sightline triton sweep` finds them. The "
        "queue delay of a deployment is part of it.",
    ),
    (
        "compute_input",
        "Mean time: input",
        "Getting the pictures to the model, to the GPU's memory.",
    ),
    ("compute_infer", "Mean time: model", "The model itself, at the batch size as executed."),
    ("compute_output", "Mean time: output", "Getting what it said back."),
)


def models() -> list[Panel]:
    """Return what each model at Triton is asked, and how long it takes."""
    failures = _grown("nv_inference_request_failure", "model", "reason")
    return [
        _by_model(
            "Requests by model",
            "Answered by Triton, whoever asked. What a stable name is asked counts in each of its "
            "parts, too.",
            units.RequestsPerSecond,
            _rate(SUCCESS, "model"),
        ).span(12),
        bars(
            trend(
                "Requests that failed",
                "By model and reason. REJECTED: a full queue, or its timeout. BACKEND: the model "
                "failed. What doesn't fit the model is refused before it counts.",
                units.Short,
                Query(failures, "{{model}} {{reason}}"),
            )
        ).span(12),
        _by_model(
            "Mean time of a request",
            "In Triton, queue included; without the way to it.",
            units.Seconds,
            _mean_s("nv_inference_request_duration_us"),
        ),
        _by_model(
            "p95 of a request",
            "Over about a minute, by Triton's own summaries "
            "(--metrics-config=summary_latencies=true).",
            units.Seconds,
            _summary(0.95),
        ),
        _by_model(
            "p99 of a request",
            "Far above the p95: requests wait behind large batches, or the machine is short of "
            "processors or memory.",
            units.Seconds,
            _summary(0.99),
        ),
        *(_phase(*phase) for phase in PHASES),
        _by_model(
            "Batch size as executed",
            "Pictures in one execution. One, although requests wait: let Triton form batches.",
            units.Short,
            _batch(),
        ).span(12),
        _by_model(
            "Requests that wait",
            "In Triton's queues at this moment. It grows: more comes than the model takes.",
            units.Short,
            "sum by (model) (nv_inference_pending_request_count)",
        ).span(12),
    ]


def gpus() -> list[Panel]:
    """Return how much of its GPUs Triton uses."""
    return [
        _gpu(
            "Use of Triton's GPUs",
            "Share of time each works. Above 95 %: no reserve. Low while requests wait: larger "
            "batches or more instances.",
            units.PercentUnit,
            Query(_each("nv_gpu_utilization"), "{{gpu_uuid}}"),
        ).max(1),
        _gpu(
            "Memory of Triton's GPUs",
            "Used, and what there is. A deployment needs room for the old and the new one.",
            units.BytesIEC,
            Query(_each("nv_gpu_memory_used_bytes"), "{{gpu_uuid}} used"),
            Query(_each("nv_gpu_memory_total_bytes"), "{{gpu_uuid}} total", limit=True),
        ),
        _gpu(
            "Power of Triton's GPUs",
            "Drawn, and the limit that is set.",
            units.Watt,
            Query(_each("nv_gpu_power_usage"), "{{gpu_uuid}}"),
            Query(_each("nv_gpu_power_limit"), "{{gpu_uuid}} limit", limit=True),
        ),
    ]


def _by_model(title: str, about: str, unit: str, expr: str) -> timeseries.Panel:
    return trend(title, about, unit, Query(expr, "{{model}}")).no_value(NONE)


def _phase(metric: str, title: str, about: str) -> timeseries.Panel:
    """Return one part of a request's mean time, by model; an ensemble adds its parts' up."""
    expr = _mean_s(f"nv_inference_{metric}_duration_us")
    return _by_model(title, about, units.Seconds, expr).span(6)


def _gpu(title: str, about: str, unit: str, *queries: Query) -> timeseries.Panel:
    return trend(title, about, unit, *queries).no_value(NO_GPU)


# Triton's own series name no server of ours, so `$instance` doesn't choose among them.
def _rate(counter: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (rate({counter}{{}}[{RATE}]))"


def _grown(counter: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (increase({counter}{{}}[{RATE}]))"


def _mean_s(duration_us: str) -> str:
    """Return the mean of a duration for a model's requests, in seconds."""
    return f"{_rate(duration_us, 'model')} / 1e6 / ({_rate(SUCCESS, 'model')} > 0)"


def _batch() -> str:
    count, runs = (_rate(f"nv_inference_{name}", "model") for name in ("count", "exec_count"))
    return f"{count} / ({runs} > 0)"


def _summary(quantile: float) -> str:
    chosen = f'nv_inference_request_summary_us{{quantile="{quantile:g}"}}'
    return f"max by (model) ({chosen}) / 1e6 >= 0"


def _each(metric: str) -> str:
    return f"max by (gpu_uuid) ({metric}{{}})"
