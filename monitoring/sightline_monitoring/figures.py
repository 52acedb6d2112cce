"""What operators look at, from two readings of the counters: rates, quantiles, shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline_monitoring.quantile import histogram_quantile
from sightline_monitoring.reading import Reading

STAGES = ("decode", "preprocess", "infer", "postprocess")


class Span:
    """What changed between two readings; rates are from the one to the other, not extrapolated.

    Counters of one process only rise. The engines' processor time falls when one of them is
    replaced; that span then counts as none.
    """

    def __init__(self, old: Reading, new: Reading, seconds: float) -> None:
        self._old, self._new, self.seconds = old, new, seconds

    def increase(self, *names: str) -> float | None:
        """Return by how much counters rose together; None where none of them is known."""
        known = [name for name in names if name in self._new]
        if not known or self.seconds <= 0:
            return None
        return sum(max(0.0, self._new[name] - self._old.get(name, 0.0)) for name in known)

    def rate(self, *names: str) -> float | None:
        """Return their rise a second."""
        increase = self.increase(*names)
        return None if increase is None else increase / self.seconds

    def mean(self, histogram: str, label: str = "") -> float | None:
        """Return the mean of what a histogram observed; None if that is nothing."""
        return ratio(
            self.increase(f"{histogram}_sum{label}"), self.increase(f"{histogram}_count{label}")
        )

    def quantiles(self, histogram: str, shares: Sequence[float]) -> list[float | None]:
        """Return quantiles of what a histogram observed."""
        start = f"{histogram}_bucket/"
        bounds = sorted(
            (float(name.removeprefix(start)), name) for name in self._new if name.startswith(start)
        )
        buckets = [(bound, self.increase(name) or 0.0) for bound, name in bounds]
        return [histogram_quantile(share, buckets) if buckets else None for share in shares]


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one moment; rates, quantiles and means are over the seconds before it.

    None: there is no such thing here, or nothing was observed. `_fps`: pictures a second, `_s`:
    seconds, `cpu`: processors in use; shares are from 0 to 1.
    """

    answered_fps: float | None = None
    dropped_fps: float | None = None
    refused_fps: float | None = None
    failed_fps: float | None = None
    superseded_fps: float | None = None
    late_fps: float | None = None
    closing_fps: float | None = None
    turned_away_per_s: float | None = None
    in_time_share: float | None = None
    missed_per_s: float | None = None  # frames that were owed an answer and got none in time
    age_p50_s: float | None = None
    age_p95_s: float | None = None
    age_p99_s: float | None = None
    infer_p50_s: float | None = None
    infer_p95_s: float | None = None
    decode_s: float | None = None
    queue_s: float | None = None
    preprocess_s: float | None = None
    infer_s: float | None = None
    postprocess_s: float | None = None
    deadline_s: float | None = None
    batch_size: float | None = None
    best_batch_size: float | None = None
    busy_share: float | None = None
    engines: float | None = None
    engine_ready: float | None = None
    fallback: float | None = None
    streams: float | None = None
    waiting: float | None = None
    queue_age_s: float | None = None
    capacity_fps: float | None = None
    gpu_share: float | None = None
    gpu_memory_bytes: float | None = None
    gpu_memory_total_bytes: float | None = None
    gpu_celsius: float | None = None
    gpu_slowdown_celsius: float | None = None
    host_cpu_share: float | None = None
    server_cpu: float | None = None
    engines_cpu: float | None = None
    host_memory_bytes: float | None = None
    host_memory_total_bytes: float | None = None
    server_memory_bytes: float | None = None
    engines_memory_bytes: float | None = None
    disk_free_bytes: float | None = None
    disk_total_bytes: float | None = None
    open_files_share: float | None = None
    loop_lag_p99_s: float | None = None


def figures(span: Span, now: Reading) -> Figures:
    """Return the figures at the end of a span; `now` is the reading there."""
    age = span.quantiles("sightline_result_age_seconds", (0.5, 0.95, 0.99))
    infer = span.quantiles("inference_latency_seconds", (0.5, 0.95))
    lag = span.quantiles("sightline_event_loop_lag_seconds", (0.99,))
    decode_s, preprocess_s, infer_s, postprocess_s = (
        span.mean("sightline_stage_duration_seconds", f"/{stage}") for stage in STAGES
    )
    ended, dropped = "sightline_frames_total", "sightline_frames_dropped_total"
    total = now.get("sightline_host_memory_bytes/total")
    return Figures(
        answered_fps=span.rate("images_processed_total"),
        dropped_fps=span.rate(f"{ended}/dropped"),
        refused_fps=span.rate(f"{ended}/refused"),
        failed_fps=span.rate(f"{ended}/failed"),
        superseded_fps=span.rate(f"{dropped}/superseded"),
        late_fps=span.rate(f"{dropped}/late"),
        closing_fps=span.rate(f"{dropped}/closing"),
        turned_away_per_s=span.rate(*turned_away(now)),
        in_time_share=in_time(span),
        missed_per_s=span.rate("sightline_admitted_frames_total/no"),
        age_p50_s=age[0],
        age_p95_s=age[1],
        age_p99_s=age[2],
        infer_p50_s=infer[0],
        infer_p95_s=infer[1],
        decode_s=decode_s,
        queue_s=span.mean("sightline_queue_duration_seconds"),
        preprocess_s=preprocess_s,
        infer_s=infer_s,
        postprocess_s=postprocess_s,
        deadline_s=now.get("sightline_deadline_seconds"),
        batch_size=span.mean("sightline_batch_size"),
        best_batch_size=now.get("sightline_best_batch_size"),
        busy_share=busy(span, now),
        engines=now.get("sightline_engines_running"),
        engine_ready=now.get("sightline_engine_ready"),
        fallback=now.get("sightline_engine_fallback"),
        streams=now.get("sightline_streams_active"),
        waiting=added(now, labelled("sightline_waiting", now)),
        queue_age_s=now.get("sightline_queue_age_seconds"),
        capacity_fps=now.get("sightline_capacity_fps"),
        gpu_share=now.get("gpu_utilization"),
        gpu_memory_bytes=now.get("gpu_memory_used_bytes"),
        gpu_memory_total_bytes=now.get("gpu_memory_total_bytes"),
        gpu_celsius=now.get("gpu_temperature_celsius"),
        gpu_slowdown_celsius=now.get("gpu_slowdown_temperature_celsius"),
        host_cpu_share=now.get("sightline_host_cpu_utilization"),
        server_cpu=span.rate("process_cpu_seconds_total"),
        engines_cpu=span.rate("sightline_engine_cpu_seconds_total"),
        host_memory_bytes=less(total, now.get("sightline_host_memory_bytes/available")),
        host_memory_total_bytes=total,
        server_memory_bytes=now.get("process_resident_memory_bytes"),
        engines_memory_bytes=now.get("sightline_engine_memory_bytes"),
        disk_free_bytes=now.get("sightline_host_disk_bytes/free"),
        disk_total_bytes=now.get("sightline_host_disk_bytes/total"),
        open_files_share=ratio(now.get("process_open_fds"), now.get("process_max_fds")),
        loop_lag_p99_s=lag[0],
    )


def in_time(span: Span) -> float | None:
    """Return the share of admitted frames that were answered before their deadline."""
    admitted = "sightline_admitted_frames_total"
    return ratio(
        span.increase(f"{admitted}/yes"), span.increase(f"{admitted}/yes", f"{admitted}/no")
    )


def busy(span: Span, now: Reading) -> float | None:
    """Return the share of time that engines had a batch in hand; 1 is all of them, always."""
    engines = now.get("sightline_engines_running")
    share = ratio(span.rate("sightline_engine_busy_seconds_total"), engines)
    return None if share is None else min(1.0, share)  # one may have left meanwhile


def turned_away(reading: Reading) -> list[str]:
    """Return the counters of refusals; those of a server that closes are nobody's trouble."""
    names = labelled("sightline_refusals_total", reading)
    return [name for name in names if not name.endswith("/closing")]


def labelled(name: str, reading: Reading) -> list[str]:
    """Return a metric's samples of all labels."""
    return [sample for sample in reading if sample.startswith(f"{name}/")]


def added(reading: Reading, names: Sequence[str]) -> float | None:
    """Return a sum; None of nothing."""
    return sum(reading[name] for name in names) if names else None


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return a quotient; None where a part is unknown or the whole is nothing."""
    return part / whole if part is not None and whole else None


def less(whole: float | None, part: float | None) -> float | None:
    """Return a difference; None where one of both is unknown."""
    return None if whole is None or part is None else whole - part
