"""The server's own metrics: each name, unit, label and help, in one place.

Seconds and bytes throughout. No label ever carries a stream, an address or free text: the
sets of values are the constants below, so the number of series is fixed. What the machine and
its GPUs say of themselves is in `host.py` and `gpu.py`; docs/metrics.md lists them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from sightline_monitoring.buckets import BATCH_BUCKETS, LATENCY_BUCKETS_S
from sightline_monitoring.gpu import GpuCollector
from sightline_monitoring.guarded import Described, Guarded
from sightline_monitoring.lifecycle import Lifecycle
from sightline_monitoring.model_info import ModelInfo, ModelLabels
from sightline_monitoring.rate import Rate
from sightline_monitoring.triton import TritonMetrics

RESULTS = ("answered", "dropped", "refused", "failed")
DROP_REASONS = ("superseded", "late", "closing")
REFUSAL_REASONS = ("streams", "rate", "uploads", "engine", "model", "closing")
RESTART_REASONS = ("crashed", "hung", "failing")
STAGES = ("decode", "preprocess", "infer", "postprocess")


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, version: str = "", registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series
        self.registry = registry or CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.add(GpuCollector())
        self._add_frames()
        self._add_times()
        self._add_load()
        self._add_engine()
        self._add_models(version)
        self.lifecycle = Lifecycle(self.registry)
        self.triton = TritonMetrics(self.registry)

    def add(self, collector: Described) -> None:
        """Tell what a collector says, too; it may fail."""
        self.registry.register(Guarded(collector))

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

    def models_in_memory(self, models: Iterable[ModelLabels]) -> None:
        """Say which models are loaded now."""
        self._models.set(models)

    def _counter(
        self, name: str, text: str, label: str = "", values: Sequence[str] = ()
    ) -> Counter:
        counter = Counter(name, text, [label] if label else [], registry=self.registry)
        for value in values:  # a series that exists from the start can be alerted on
            counter.labels(value)
        return counter

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = LATENCY_BUCKETS_S,
    ) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def _add_frames(self) -> None:
        self.images_processed = self._counter(
            "images_processed_total", "Pictures and live frames that were answered."
        )
        self._fps = Rate()
        fps = self._gauge(
            "inference_fps",
            f"Pictures answered per second, over the last {self._fps.window_s:g} seconds.",
        )
        fps.set_function(self._fps.per_second)
        self.frames = self._counter(
            "sightline_frames_total",
            "Frames and uploads by how they ended; refused: a bad picture, failed: our fault.",
            "result",
            RESULTS,
        )
        self.frames_dropped = self._counter(
            "sightline_frames_dropped_total",
            "Frames that were never run, by reason.",
            "reason",
            DROP_REASONS,
        )
        self.admitted_frames = self._counter(
            "sightline_admitted_frames_total",
            "Live frames that an answer was owed for, by whether it came before the deadline.",
            "in_time",
            ("yes", "no"),
        )
        self.refusals = self._counter(
            "sightline_refusals_total",
            "Streams, uploads and changes of model told to come back later, by what was short.",
            "reason",
            REFUSAL_REASONS,
        )

    def _add_times(self) -> None:
        self.inference_latency = self._histogram(
            "inference_latency_seconds", "Time of the engine call that answered a picture."
        )
        self.stage_duration = self._histogram(
            "sightline_stage_duration_seconds",
            "Time of one stage of a picture's way; the engine stages are its batch's.",
            ["stage"],
        )
        for stage in STAGES:
            self.stage_duration.labels(stage)
        self.queue_duration = self._histogram(
            "sightline_queue_duration_seconds",
            "Time from a picture's arrival to the start of its batch.",
        )
        self.result_age = self._histogram(
            "sightline_result_age_seconds", "Time from a live frame's capture to its answer."
        )
        self.deadline = self._gauge(
            "sightline_deadline_seconds",
            "Age up to which a live frame is answered: the longest of the models in memory.",
        )
        self.loop_lag = self._histogram(
            "sightline_event_loop_lag_seconds",
            "How much later than asked the server's event loop woke up.",
        )

    def _add_load(self) -> None:
        self.streams_active = self._gauge("sightline_streams_active", "Open live streams.")
        self.waiting = self._gauge(
            "sightline_waiting", "Live frames in line, and uploads that have no answer yet.", "kind"
        )
        self.queue_age = self._gauge(
            "sightline_queue_age_seconds",
            "How long the longest of them has waited; 0: none does.",
            "kind",
        )
        for kind in ("live", "upload"):
            self.waiting.labels(kind)
            self.queue_age.labels(kind)
        self.capacity = self._gauge(
            "sightline_capacity_fps", "Frames a second that the default model's engines sustain."
        )
        self.reserved = self._gauge(
            "sightline_reserved_fps", "Frames a second of it that are promised or set aside."
        )

    def _add_engine(self) -> None:
        self.batch_size = self._histogram(
            "sightline_batch_size", "Pictures in one engine call.", buckets=BATCH_BUCKETS
        )
        self.best_batch = self._gauge(
            "sightline_best_batch_size", "Largest batch that pays here, for the default model."
        )
        self.engine_executions = self._counter("sightline_engine_executions_total", "Engine calls.")
        self.engine_busy = self._counter(
            "sightline_engine_busy_seconds_total",
            "Time that a model's engines had a batch in hand, decoding included, added up.",
            "model",
        )
        self.engines_running = self._gauge(
            "sightline_engines_running", "Engines of a model that can take a batch now.", "model"
        )
        self.engine_ready = self._gauge(
            "sightline_engine_ready", "1 while the default model's engine takes frames, else 0."
        )
        self.engine_fallback = self._gauge(
            "sightline_engine_fallback",
            "1 while a model in memory runs on a slower engine than was asked for, else 0.",
        )
        self.engine_restarts = self._counter(
            "sightline_engine_restarts_total",
            "Engines started again, by what had become of them.",
            "reason",
            RESTART_REASONS,
        )

    def _add_models(self, version: str) -> None:
        build = self._gauge(
            "sightline_build_info", "1; the label is the server's version.", "version"
        )
        build.labels(version).set(1)
        self._models = ModelInfo()
        self.registry.register(self._models)
        self.model_loads = self._counter(
            "sightline_model_loads_total",
            "Models loaded into memory, or not.",
            "result",
            ("loaded", "failed"),
        )
