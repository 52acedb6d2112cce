"""What the batcher and the sessions report, turned into metrics: the one place of wiring."""

from __future__ import annotations

import math
import time

from sightline_backend.batch import Done, Failed, NotRun, Outcome, Work
from sightline_backend.errors import RefusalReason, status_of
from sightline_monitoring.metrics import STAGES, Metrics
from sightline_monitoring.triton import CallResult


class Telemetry:
    """Observes batches and frames; called on the event loop's thread."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._answered_frames = metrics.frames.labels("answered")  # looked up once, not per frame
        self._in_time = metrics.admitted_frames.labels("yes")
        self._not_in_time = metrics.admitted_frames.labels("no")
        self._stages = {name: metrics.stage_duration.labels(name) for name in STAGES}

    def batch_ran(self, size: int, seconds: float) -> None:
        """Count an engine call of `size` frames."""
        self.metrics.engine_ran(size)

    def engine_worked(self, model: str, seconds: float) -> None:
        """Count the time of a batch, whatever came of it."""
        self.metrics.engine_busy.labels(model).inc(seconds)

    def frame_ended(self, work: Work, outcome: Outcome) -> None:
        """Count a frame or an upload and where its time went."""
        match outcome:
            case Done():
                self._answered(outcome)
                self._owed(work, in_time=time.monotonic() <= work.deadline_s)
            case NotRun(reason, owed):
                self.metrics.frames.labels("dropped").inc()
                self.metrics.frames_dropped.labels(reason).inc()
                if owed or reason == "late":
                    self._owed(work, in_time=False)
            case Failed(code):
                if is_ours(code):
                    self.metrics.frames.labels("failed").inc()
                    self._owed(work, in_time=False)
                else:
                    self.frame_refused()

    def engine_restarted(self, reason: str) -> None:
        """Count an engine that is started again."""
        self.metrics.engine_restarts.labels(reason).inc()

    def triton_called(self, result: CallResult, seconds: float) -> None:
        """Count a batch that was for Triton and came back, or not, after `seconds`."""
        self.metrics.triton.called(result, seconds)

    def fell_back(self, active: bool) -> None:
        """Count a batch of engine triton that was answered, by the fallback if it is `active`."""
        self.metrics.triton.fell_back(active)

    def model_load(self, result: str) -> None:
        """Count a model that was loaded, or not."""
        self.metrics.model_loads.labels(result).inc()

    def job_ended(self, kind: str, result: str, seconds: float) -> None:
        """Count a job that ended `seconds` after its start."""
        self.metrics.lifecycle.job_ended(kind, result, seconds)

    def plan_rebuild(self, result: str) -> None:
        """Count a TensorRT plan that was "built" anew, or "failed"."""
        self.metrics.lifecycle.plan_rebuild(result)

    def swapped(self, result: str) -> None:
        """Count a change of what serves under a model's name."""
        self.metrics.lifecycle.swapped(result)

    def shadow_compared(self, agreed: bool) -> None:
        """Count a frame that a candidate saw, too."""
        self.metrics.lifecycle.shadow_compared(agreed)

    def frame_refused(self) -> None:
        """Count a picture that its sender has to mend."""
        self.metrics.frames.labels("refused").inc()

    def turned_away(self, reason: RefusalReason) -> None:
        """Count a stream or an upload that was told to come back later."""
        self.metrics.refusals.labels(reason).inc()

    def live_answer(self, age_s: float) -> None:
        """Note how old a live frame was when its answer was sent."""
        self.metrics.result_age.observe(age_s)

    def _answered(self, done: Done) -> None:
        self._answered_frames.inc()
        self.metrics.image_processed(done.timings.infer / 1e3)
        self.metrics.queue_duration.observe(done.timings.queue / 1e3)
        for name, stage in self._stages.items():
            stage.observe(getattr(done.timings, name) / 1e3)

    def _owed(self, work: Work, *, in_time: bool) -> None:
        """Count a live frame against the objective, unless it came too late to be admitted."""
        if math.isinf(work.deadline_s) or work.deadline_s < work.received_s:
            return
        (self._in_time if in_time else self._not_in_time).inc()


def is_ours(code: str) -> bool:
    """Tell whether an error is the server's own fault, not its caller's."""
    return status_of(code) >= 500
