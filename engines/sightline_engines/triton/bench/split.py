"""Where a request's time goes inside the server, from what it counts for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sightline_engines.triton.bench.figures import Means, ServerSplit
from sightline_engines.triton.client import Client

_STAGES = ("success", "queue", "compute_input", "compute_infer", "compute_output")

Reading: TypeAlias = Mapping[str, "Counters"]  # by model


@dataclass(frozen=True, slots=True)
class Counters:
    """A model's sums since it was loaded, over its versions; times in ns."""

    pictures: int
    executions: int
    failed: int
    cache_hits: int
    counts: Mapping[str, int]  # of each stage
    times: Mapping[str, int]
    batch_sizes: Mapping[int, int]


def read(client: Client, models: Sequence[str], version: str = "") -> Reading:
    """Read the counters of the first model's version, and of the others; raises EngineAwayError."""
    return {
        model: counters(client.statistics(model, version if model == models[0] else ""))
        for model in models
    }


def counters(told: Sequence[Mapping[str, Any]]) -> Counters:
    """Add up what the server tells of a model's versions."""
    stages = [one["inference_stats"] for one in told]
    batch_sizes: dict[int, int] = {}
    for one in told:
        for batch in one["batch_stats"]:
            size = int(batch["batch_size"])
            ran = int(batch["compute_infer"]["count"])
            batch_sizes[size] = batch_sizes.get(size, 0) + ran
    return Counters(
        pictures=sum(int(one["inference_count"]) for one in told),
        executions=sum(int(one["execution_count"]) for one in told),
        failed=sum(int(one["fail"]["count"]) for one in stages),
        cache_hits=sum(int(one["cache_hit"]["count"]) for one in stages),
        counts={name: sum(int(one[name]["count"]) for one in stages) for name in _STAGES},
        times={name: sum(int(one[name]["ns"]) for one in stages) for name in _STAGES},
        batch_sizes=batch_sizes,
    )


def splits(before: Reading, after: Reading) -> tuple[ServerSplit, ...]:
    """Return what was counted between two readings; nothing if a model was loaded anew between."""
    found = tuple(_split(model, before[model], after[model]) for model in after)
    return found if all(one.requests >= 0 for one in found) else ()


def _split(model: str, before: Counters, after: Counters) -> ServerSplit:
    def mean_ms(stage: str) -> float:
        count = after.counts[stage] - before.counts[stage]
        return (after.times[stage] - before.times[stage]) / count / 1e6 if count > 0 else 0.0

    ran = {
        size: count - before.batch_sizes.get(size, 0) for size, count in after.batch_sizes.items()
    }
    return ServerSplit(
        model=model,
        requests=after.counts["success"] - before.counts["success"],
        failed=after.failed - before.failed,
        pictures=after.pictures - before.pictures,
        executions=after.executions - before.executions,
        cache_hits=after.cache_hits - before.cache_hits,
        mean_ms=Means(
            total=mean_ms("success"),
            queue=mean_ms("queue"),
            input=mean_ms("compute_input"),
            infer=mean_ms("compute_infer"),
            output=mean_ms("compute_output"),
        ),
        batch_sizes={size: count for size, count in sorted(ran.items()) if count > 0},
    )
