"""Metrics of Triton as this server sees it: whether it answers, what was asked, deployments."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sightline_monitoring.buckets import LATENCY_BUCKETS_S

CallResult: TypeAlias = Literal["ok", "away", "failed"]
DeploymentResult: TypeAlias = Literal["deployed", "failed", "rolled_back", "removed"]
ReloadResult: TypeAlias = Literal["reloaded", "failed"]

CALL_RESULTS: tuple[CallResult, ...] = get_args(CallResult)
DEPLOYMENT_RESULTS: tuple[DeploymentResult, ...] = get_args(DeploymentResult)
RELOAD_RESULTS: tuple[ReloadResult, ...] = get_args(ReloadResult)


class TritonMetrics:
    """Counts what is asked of Triton; what it says of itself is on its own metrics page.

    `sightline_triton_live` and `sightline_triton_models` are absent until `watched` is called
    for the first time, so a server without Triton raises no alarm about one.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._known = False
        self._live = Gauge(
            "sightline_triton_live",
            "1 while Triton answers, else 0; absent: this server uses none.",
            registry=None,
        )
        self._models = Gauge(
            "sightline_triton_models",
            "Names under which models are deployed, by whether Triton has them ready.",
            ["state"],
            registry=registry,
        )
        self._probes = _counted(
            registry,
            "sightline_triton_probes_total",
            "Real inferences that tried a deployed name, by whether it answered.",
            ("ok", "failed"),
        )
        self._calls = _counted(
            registry,
            "sightline_triton_calls_total",
            "Batches sent to Triton; away: no answer in time, failed: it answered with an error.",
            CALL_RESULTS,
        )
        self._call_duration = Histogram(
            "sightline_triton_call_duration_seconds",
            "Time from sending a batch to Triton to its answer, for batches that it answered.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._batches = _counted(
            registry,
            "sightline_triton_batches_total",
            "Batches meant for Triton, by who ran them: Triton, or the fallback on this machine.",
            ("triton", "fallback"),
            label="ran_on",
        )
        self._deployments = _counted(
            registry,
            "sightline_triton_deployments_total",
            "Changes of what is deployed to Triton, by what came of them.",
            DEPLOYMENT_RESULTS,
        )
        self._reloads = _counted(
            registry,
            "sightline_triton_reloads_total",
            "Deployed names that were ready, failed their probe and were loaded anew.",
            RELOAD_RESULTS,
        )

    def watched(self, live: bool, ready: int, unavailable: int) -> None:
        """Say whether Triton answers, and how many of the deployed names are ready and are not.

        Names that were unloaded on purpose, or that nobody has deployed, are in neither number.
        """
        if not self._known:
            self._known = True
            self._registry.register(self._live)
        self._live.set(live)
        self._models.labels("ready").set(ready)
        self._models.labels("unavailable").set(unavailable)

    def probed(self, ok: bool) -> None:
        """Count a real inference through one deployed name."""
        self._probes.labels("ok" if ok else "failed").inc()

    def called(self, result: CallResult, seconds: float) -> None:
        """Count a batch that was for Triton; `seconds` until its answer."""
        self._calls.labels(result).inc()
        if result == "ok":
            self._call_duration.observe(seconds)

    def fell_back(self, active: bool) -> None:
        """Count a batch that was answered, by the fallback if it is `active`."""
        self._batches.labels("fallback" if active else "triton").inc()

    def deployed(self, result: DeploymentResult) -> None:
        """Count a change of what is deployed."""
        self._deployments.labels(result).inc()

    def reloaded(self, result: ReloadResult) -> None:
        """Count a name that was loaded anew since its probe failed."""
        self._reloads.labels(result).inc()


def _counted(
    registry: CollectorRegistry,
    name: str,
    text: str,
    values: tuple[str, ...],
    label: str = "result",
) -> Counter:
    counter = Counter(name, text, [label], registry=registry)
    for value in values:  # a series that exists from the start can be alerted on
        counter.labels(value)
    return counter
