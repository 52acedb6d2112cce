"""What the batcher and the sessions report, turned into metrics: the one place of wiring."""

from __future__ import annotations

from sightline_backend.batch import Done, Failed, NotRun, Outcome, Work
from sightline_monitoring.metrics import STAGES, Metrics


class Telemetry:
    """Observes batches and frames; called on the event loop's thread."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._answered_frames = metrics.frames.labels("answered")  # looked up once, not per frame
        self._stages = {name: metrics.stage_duration.labels(name) for name in STAGES}

    def batch_ran(self, size: int, seconds: float) -> None:
        """Count an engine call of `size` frames."""
        self.metrics.engine_ran(size)

    def frame_ended(self, work: Work, outcome: Outcome) -> None:
        """Count a frame or an upload and where its time went."""
        match outcome:
            case Done():
                self._answered(outcome)
            case NotRun(reason):
                self.metrics.frames.labels("dropped").inc()
                self.metrics.frames_dropped.labels(reason).inc()
            case Failed():
                self.frame_failed()

    def engine_restarted(self, reason: str) -> None:
        """Count an engine that is started again."""
        self.metrics.engine_restarts.labels(reason).inc()

    def frame_failed(self) -> None:
        """Count a frame that was turned away before it reached the batcher."""
        self.metrics.frames.labels("failed").inc()

    def live_answer(self, age_s: float) -> None:
        """Note how old a live frame was when its answer was sent."""
        self.metrics.result_age.observe(age_s)

    def _answered(self, done: Done) -> None:
        self._answered_frames.inc()
        self.metrics.image_processed(done.timings.infer / 1e3)
        self.metrics.queue_duration.observe(done.timings.queue / 1e3)
        for name, stage in self._stages.items():
            stage.observe(getattr(done.timings, name) / 1e3)
