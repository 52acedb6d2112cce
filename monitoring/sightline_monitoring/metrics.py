"""Every metric: its name, unit, buckets and help, in one place.

Seconds and bytes throughout. No label ever carries a stream, an address or free text: the
sets of values are the constants below, so the number of series is fixed.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from sightline_monitoring.gpu import GpuCollector
from sightline_monitoring.rate import Rate

RESULTS = ("answered", "dropped", "failed")
DROP_REASONS = ("superseded", "late", "closing")
RESTART_REASONS = ("crashed", "hung", "failing")
STAGES = ("decode", "preprocess", "infer", "postprocess")

LATENCY_BUCKETS_S = (
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.033, 0.05, 0.066, 0.1,
    0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip
BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series
        self.registry = registry or CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(GpuCollector())
        self._fps = Rate()
        self._add_inference()
        self._add_frames()
        self._add_engine()

    def engine_ran(self, batch_size: int) -> None:
        """Count one engine call."""
        self.engine_executions.inc()
        self.batch_size.observe(batch_size)

    def image_processed(self, infer_s: float) -> None:
        """Count one picture that was answered; `infer_s` is its batch's engine time."""
        self.images_processed.inc()
        self.inference_latency.observe(infer_s)
        self._fps.tick()

    def watch_streams(self, count: Callable[[], int]) -> None:
        """Have the number of open streams read by `count` at each scrape."""
        self.streams_active.set_function(count)

    def watch_engine(self, ready: Callable[[], bool]) -> None:
        """Have the engine's readiness read by `ready` at each scrape."""
        self.engine_ready.set_function(ready)

    def _add_inference(self) -> None:
        self.inference_latency = Histogram(
            "inference_latency_seconds",
            "Time of the engine call that answered a picture.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.images_processed = Counter(
            "images_processed_total",
            "Pictures and live frames that were answered.",
            registry=self.registry,
        )
        fps = Gauge(
            "inference_fps",
            f"Pictures answered per second, over the last {self._fps.window_s:g} seconds.",
            registry=self.registry,
        )
        fps.set_function(self._fps.per_second)

    def _add_frames(self) -> None:
        self.frames = Counter(
            "sightline_frames_total",
            "Frames and uploads by how they ended.",
            ["result"],
            registry=self.registry,
        )
        self.frames_dropped = Counter(
            "sightline_frames_dropped_total",
            "Frames that were never run, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.stage_duration = Histogram(
            "sightline_stage_duration_seconds",
            "Time of one stage of a picture's way; the engine stages are its batch's.",
            ["stage"],
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.queue_duration = Histogram(
            "sightline_queue_duration_seconds",
            "Time from a picture's arrival to the start of its batch.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.result_age = Histogram(
            "sightline_result_age_seconds",
            "Time from a live frame's capture to its answer.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        for result in RESULTS:  # a series that exists from the start can be alerted on
            self.frames.labels(result)
        for reason in DROP_REASONS:
            self.frames_dropped.labels(reason)
        for stage in STAGES:
            self.stage_duration.labels(stage)

    def _add_engine(self) -> None:
        self.batch_size = Histogram(
            "sightline_batch_size",
            "Pictures in one engine call.",
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self.engine_executions = Counter(
            "sightline_engine_executions_total",
            "Engine calls.",
            registry=self.registry,
        )
        self.engine_ready = Gauge(
            "sightline_engine_ready",
            "1 while the default model's engine takes frames, else 0.",
            registry=self.registry,
        )
        self.engine_restarts = Counter(
            "sightline_engine_restarts_total",
            "Engines started again, by what had become of them.",
            ["reason"],
            registry=self.registry,
        )
        for reason in RESTART_REASONS:
            self.engine_restarts.labels(reason)
        self.loop_lag = Histogram(
            "sightline_event_loop_lag_seconds",
            "How much later than asked the server's event loop woke up.",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.streams_active = Gauge(
            "sightline_streams_active", "Open live streams.", registry=self.registry
        )
