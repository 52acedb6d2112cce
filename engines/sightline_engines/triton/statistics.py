"""What a Triton has counted of its models: requests, failures, where the time went, batch sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sightline_engines.triton.metrics_page import Sample

Key: TypeAlias = tuple[str, str]  # a model's name and version

STAGES = {  # as the server's JSON names them
    "request": "success",
    "queue": "queue",
    "input": "compute_input",
    "infer": "compute_infer",
    "output": "compute_output",
}
SUMMARY = "nv_inference_request_summary_us"  # of --metrics-config=summary_latencies=true
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class Spent:
    """Time over all successful requests."""

    count: int = 0
    ns: int = 0

    @property
    def mean_ms(self) -> float | None:
        """Of one request; None: there was none."""
        return self.ns / self.count / _NS_PER_MS if self.count else None


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """A version's counts since it was loaded, or between two readings."""

    inferences: int = 0  # pictures, or rows of a batch
    executions: int = 0  # runs of the model, each a batch
    succeeded: int = 0  # requests
    failures: int = 0
    spent: Mapping[str, Spent] = field(default_factory=dict)  # by stage
    batches: Mapping[int, int] = field(default_factory=dict)  # executions by batch size
    last_inference_at: float | None = None  # seconds since 1970; None: never

    @property
    def requests(self) -> int:
        """All that were answered, with an error or not."""
        return self.succeeded + self.failures

    @property
    def success_rate(self) -> float | None:
        """From 0 to 1; None: there was no request."""
        return self.succeeded / self.requests if self.requests else None

    @property
    def mean_ms(self) -> dict[str, float | None]:
        """Milliseconds of a successful request, and of its stages."""
        return {stage: self.spent.get(stage, Spent()).mean_ms for stage in STAGES}

    @property
    def batch_sizes(self) -> dict[str, int]:
        """How often the model ran with how many at once, as JSON has it."""
        return {str(size): count for size, count in sorted(self.batches.items())}

    def since(self, earlier: ModelStatistics) -> ModelStatistics:
        """Return what came after an earlier reading; all of it, if counting began anew."""
        if self.requests < earlier.requests or self.executions < earlier.executions:
            return self
        spent = {
            stage: Spent(
                now.count - earlier.spent.get(stage, Spent()).count,
                now.ns - earlier.spent.get(stage, Spent()).ns,
            )
            for stage, now in self.spent.items()
        }
        batches = {size: n - earlier.batches.get(size, 0) for size, n in self.batches.items()}
        return ModelStatistics(
            self.inferences - earlier.inferences,
            self.executions - earlier.executions,
            self.succeeded - earlier.succeeded,
            self.failures - earlier.failures,
            spent,
            {size: count for size, count in batches.items() if count},
            self.last_inference_at,
        )


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of a request's time over the last minute or so; None: not counted."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


def read_statistics(stats: Sequence[Mapping[str, Any]]) -> dict[Key, ModelStatistics]:
    """Read the `model_stats` of the server's JSON."""
    return {(str(one["name"]), str(one.get("version", ""))): _read(one) for one in stats}


def read_percentiles(samples: Sequence[Sample]) -> dict[Key, Percentiles]:
    """Read the summaries of the metrics page; without them there is nothing."""
    found: dict[Key, dict[str, float]] = {}
    for one in samples:
        if one.name == SUMMARY and "quantile" in one.labels and one.value == one.value:
            key = one.labels.get("model", ""), one.labels.get("version", "")
            found.setdefault(key, {})[one.labels["quantile"]] = one.value / 1e3
    return {
        key: Percentiles(values.get("0.5"), values.get("0.95"), values.get("0.99"))
        for key, values in found.items()
    }


def _read(one: Mapping[str, Any]) -> ModelStatistics:
    told = one.get("inference_stats", {})
    last_ms = int(one.get("last_inference", 0))
    return ModelStatistics(
        inferences=int(one.get("inference_count", 0)),
        executions=int(one.get("execution_count", 0)),
        succeeded=int(told.get("success", {}).get("count", 0)),
        failures=int(told.get("fail", {}).get("count", 0)),
        spent={stage: _spent(told.get(name, {})) for stage, name in STAGES.items()},
        batches={
            int(batch["batch_size"]): int(batch.get("compute_infer", {}).get("count", 0))
            for batch in one.get("batch_stats", ())
        },
        last_inference_at=last_ms / 1e3 if last_ms else None,
    )


def _spent(told: Mapping[str, Any]) -> Spent:
    return Spent(int(told.get("count", 0)), int(told.get("ns", 0)))
