"""Metrics of what happens to models beside serving frames: jobs, builds, changes of model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sightline_monitoring.buckets import JOB_BUCKETS_S

JOB_KINDS = ("convert", "validate", "benchmark", "pipeline")
JOB_RESULTS = ("done", "failed", "cancelled", "interrupted")
SWAP_RESULTS = ("swapped", "rolled_back", "refused", "failed")
BUILD_RESULTS = ("built", "failed")


class Lifecycle:
    """Counts jobs, builds of TensorRT plans, promotions and what shadow runs found."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._jobs = Counter(
            "sightline_jobs_total", "Jobs by how they ended.", ["kind", "result"], registry=registry
        )
        for kind in JOB_KINDS:
            for result in JOB_RESULTS:
                self._jobs.labels(kind, result)
        self._job_duration = Histogram(
            "sightline_job_duration_seconds",
            "Time of jobs that ended well or failed, from their start.",
            ["kind"],
            buckets=JOB_BUCKETS_S,
            registry=registry,
        )
        for kind in JOB_KINDS:
            self._job_duration.labels(kind)
        self.jobs = Gauge(
            "sightline_jobs_open", "Jobs in line and at work; pipelines apart.", ["state"],
            registry=registry,
        )  # fmt: skip
        for state in ("queued", "running"):
            self.jobs.labels(state)
        self.job_silence = Gauge(
            "sightline_job_silence_seconds",
            "How long the running job that is silent the longest has told nothing; 0: none runs.",
            registry=registry,
        )
        self._builds = _counted(
            registry,
            "sightline_engine_builds_total",
            "TensorRT plans rebuilt since their passport didn't fit this machine.",
            "result",
            BUILD_RESULTS,
        )
        self.rebuilding = Gauge(
            "sightline_engines_rebuilding",
            "Models that serve from their ONNX until their TensorRT plan is rebuilt.",
            registry=registry,
        )
        self._swaps = _counted(
            registry,
            "sightline_model_swaps_total",
            "Changes of the artefact that serves under a model's name, by what came of them.",
            "result",
            SWAP_RESULTS,
        )
        self._shadow = _counted(
            registry,
            "sightline_shadow_frames_total",
            "Frames that a candidate saw, too, by whether its boxes agreed.",
            "agreed",
            ("yes", "no"),
        )
        self._add_promoted(registry)

    def job_ended(self, kind: str, result: str, seconds: float) -> None:
        """Count a job's end; `seconds` from its start."""
        self._jobs.labels(kind, result).inc()
        if result in ("done", "failed"):
            self._job_duration.labels(kind).observe(seconds)

    def plan_rebuild(self, result: str) -> None:
        """Count a rebuild that ended as "built" or "failed"."""
        self._builds.labels(result).inc()

    def swapped(self, result: str) -> None:
        """Count a change of what serves."""
        self._swaps.labels(result).inc()

    def shadow_compared(self, agreed: bool) -> None:
        """Count a frame that two models saw."""
        self._shadow.labels("yes" if agreed else "no").inc()

    def promoted(
        self,
        accuracy: Mapping[str, float],
        loss: Mapping[str, float],
        slowdown: Mapping[str, float],
    ) -> None:
        """Say, by model, what is known of those that serve; replaces what was said before."""
        for gauge, values in (
            (self._accuracy, accuracy),
            (self._accuracy_loss, loss),
            (self._slowdown, slowdown),
        ):
            gauge.clear()
            for model, value in values.items():
                gauge.labels(model).set(value)

    def watch_store(self, answers: Callable[[], bool]) -> None:
        """Have the database asked by `answers` at each scrape."""
        self._store_ready.set_function(answers)

    def _add_promoted(self, registry: CollectorRegistry) -> None:
        self._accuracy = Gauge(
            "sightline_model_accuracy",
            "mAP50-95 of what serves, as it was last measured; absent: never.",
            ["model"],
            registry=registry,
        )
        self._accuracy_loss = Gauge(
            "sightline_model_accuracy_loss",
            "mAP50-95 that what serves has lost against what it replaced, on the same pictures.",
            ["model"],
            registry=registry,
        )
        self._slowdown = Gauge(
            "sightline_model_slowdown_ratio",
            "Measured p95 latency of what serves, divided by that of what it replaced.",
            ["model"],
            registry=registry,
        )
        self._store_ready = Gauge(
            "sightline_store_ready", "1 while the database of models and jobs answers, else 0.",
            registry=registry,
        )  # fmt: skip


def _counted(
    registry: CollectorRegistry, name: str, text: str, label: str, values: tuple[str, ...]
) -> Counter:
    counter = Counter(name, text, [label], registry=registry)
    for value in values:  # a series that exists from the start can be alerted on
        counter.labels(value)
    return counter
