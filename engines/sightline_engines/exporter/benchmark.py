"""How fast a model answers through Triton, and whether that is fast enough."""

from __future__ import annotations

from collections.abc import Mapping

from sightline_engines.errors import EngineError
from sightline_engines.exporter.options import BenchmarkConfig
from sightline_engines.exporter.results import BenchmarkResult
from sightline_engines.progress import Progress, quiet


def run_benchmark(  # noqa: PLR0913  each is a fact of the measurement
    config: BenchmarkConfig,
    model_name: str,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    batch: int = 1,
    target_latency_ms: float | None = None,
    progress: Progress = quiet,
) -> BenchmarkResult:
    """Send requests of `batch` items to a model that Triton has loaded, and return the figures.

    `shapes` (without the batch) are needed of inputs with open sides. The target is met if p99 is
    within it and no request failed. Raises EngineAwayError, EngineError where nothing is answered.
    """
    from sightline_engines.triton.bench.measure import measure
    from sightline_engines.triton.bench.options import BenchOptions, Closed, Count

    found = measure(
        BenchOptions(
            config.triton_url,
            model_name,
            protocol=config.protocol,
            load=Closed(config.concurrency),
            until=Count(config.num_requests),
            warmup_requests=config.num_warmup_requests,
            batch=batch,
            shapes=dict(shapes or {}),
            timeout_s=config.timeout_s,
        ),
        progress,
    )
    latency = found.latency_ms
    if latency is None:
        said = found.failures[0].example if found.failures else found.remark
        raise EngineError(f"No request to {model_name} was answered: {said}")
    server = next((one for one in found.server if one.model == model_name), None)
    means = server.mean_ms if server is not None else None
    within = target_latency_ms is not None and latency.p99 <= target_latency_ms
    return BenchmarkResult(
        model_name,
        config.triton_url,
        config.protocol,
        batch,
        config.concurrency,
        found.requests,
        found.failed,
        found.requests_per_s,
        latency.mean,
        latency.p50,
        latency.p90,
        latency.p95,
        latency.p99,
        {}
        if means is None
        else {
            "queue": means.queue,
            "input": means.input,
            "infer": means.infer,
            "output": means.output,
        },
        target_latency_ms,
        None if target_latency_ms is None else within and not found.failed,
        found.seconds,
    )
