"""*Live*: whether frames are answered in time, and where they go if not."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from sightline_dashboards.colours import (
    BAD,
    GOOD,
    NOTICE,
    PLAIN,
    QUIET,
    WARNING,
)
from sightline_dashboards.page import page
from sightline_dashboards.panels import FPS, Panel, Query, figure, heat, stacked, trend
from sightline_dashboards.queries import (
    grown,
    mean,
    most,
    quantile,
    quantiles,
    rate,
    series,
    share,
    total,
)

ANSWERED = rate("images_processed_total")
STREAMS = total("sightline_streams_active")
# Each model's engines by themselves: those that rest would hide that another's are full.
_OF = ("instance", "model")
_BUSY = share(
    rate("sightline_engine_busy_seconds_total", *_OF), total("sightline_engines_running", *_OF)
)
BUSY = f"max ({_BUSY})"
GPU = f"avg ({series('gpu_utilization')})"
DEADLINE = f"max ({series('sightline_deadline_seconds')})"


def live() -> Dashboard:
    """Return the dashboard."""
    about = "Whether live frames and uploads are answered in time, and what becomes of the others."
    rows = {
        "Now": _now(),
        "How late": _late(),
        "What becomes of frames": _ends(),
        "Where the time goes": _time(),
        "Engines": _engines(),
    }
    return page("sightline-live", about, rows, span="15m", refresh="5s")


def _now() -> list[Panel]:
    each = share(rate("sightline_result_age_seconds_count"), STREAMS)
    without_gpu = f"({BUSY}) unless on () group ({series('gpu_utilization')})"
    return [
        figure(
            "Answered",
            "Pictures and live frames answered per second (QPS). Zero while cameras are on: see "
            "'Frames by end' for what becomes of them, and 'Takes frames' on Models.",
            FPS,
            Query(ANSWERED, "Answered"),
            below=PLAIN,
        ).decimals(1),
        figure(
            "Latency, p95",
            "Nineteen of twenty results are no older than this when they are sent, counted from "
            "the capture; beside it the engine's part. Orange from 0.3 s. Red from 0.5 s, which "
            "is the deadline unless SIGHTLINE_DEADLINE_MS says otherwise: 'Where the time goes' "
            "tells whether frames wait or the engine is slow.",
            units.Seconds,
            Query(quantile(0.95, "sightline_result_age_seconds"), "Age of a result"),
            Query(quantile(0.95, "inference_latency_seconds"), "Inference"),
            steps={0.3: WARNING, 0.5: BAD},
        ),
        figure(
            "Streams",
            "Open live streams, and how many frames a second each gets answered on average. Fewer "
            "frames than the cameras send: the engines are shared by too many, see 'Capacity'.",
            units.Short,
            Query(STREAMS, "Streams"),
            Query(each, "Frames for each", unit=FPS),
            below=PLAIN,
        ),
        figure(
            "GPU use",
            "Share of time the GPU works; on a machine without one, the share of time the busiest "
            "model's engines have a batch in hand. Above 95 % nothing is left: expect drops, and "
            "see Capacity. Near zero with traffic: a model may run on the processor, see Models.",
            units.PercentUnit,
            Query(GPU, "GPU"),
            Query(without_gpu, "Engines busy (no GPU)"),
            steps={0.8: NOTICE, 0.95: WARNING},
        ),
    ]


def _late() -> list[Panel]:
    return [
        trend(
            "Age of results",
            "From a live frame's capture to its answer. The dashed line is the deadline, the "
            "longest of the models in memory: older frames are dropped. p95 close to it: fewer "
            "streams, a smaller model or more engines.",
            units.Seconds,
            *quantiles("sightline_result_age_seconds"),
            Query(DEADLINE, "Deadline", limit=True),
        )
        .span(12)
        .height(9),
        trend(
            "Inference latency",
            "Time of the engine call that answered a picture. It rises with the batch size; if it "
            "rises at the same batch size, something else uses the processor or the GPU throttles "
            "(see Resources).",
            units.Seconds,
            *quantiles("inference_latency_seconds"),
        )
        .span(12)
        .height(9),
    ]


def _ends() -> list[Panel]:
    return [
        stacked(
            trend(
                "Frames by end",
                "Every frame and upload, by how it ended. Dropped frames were replaced by newer "
                "ones or were too late; refused ones were the sender's fault. Failed ones are the "
                "server's: look into its log.",
                FPS,
                Query(rate("sightline_frames_total", "result"), "{{result}}"),
            )
        ),
        stacked(
            trend(
                "Drops by reason",
                "Superseded: a camera sends more than its share, which is no fault. Late: the "
                "frame could not meet its deadline, so the engines are short. Closing: the stream "
                "ended.",
                FPS,
                Query(rate("sightline_frames_dropped_total", "reason"), "{{reason}}"),
            )
        ),
        stacked(
            trend(
                "Turned away",
                "Streams and uploads that were told to try again before they began. Streams, "
                "uploads: raise SIGHTLINE_MAX_STREAMS or SIGHTLINE_MAX_UPLOADS if the machine has "
                "room. Rate: no room for the rate asked for. Model: all in memory are in use. "
                "Engine: it is away, see Models.",
                units.OpsPerSecond,
                Query(rate("sightline_refusals_total", "reason"), "{{reason}}"),
            )
        ),
    ]


def _time() -> list[Panel]:
    return [
        stacked(
            trend(
                "Stages of a frame",
                "Mean time of each stage. Decode grows with the size of the pictures: let the "
                "cameras send smaller ones. Infer is the engine's.",
                units.Seconds,
                Query(mean("sightline_stage_duration_seconds", "stage"), "{{stage}}"),
            )
        ),
        trend(
            "Wait for the engine",
            "From a frame's arrival to the start of its batch. Longer than an inference: the "
            "engines can't keep up.",
            units.Seconds,
            *quantiles("sightline_queue_duration_seconds"),
        ),
        trend(
            "In line",
            "Live frames and uploads that wait now, and how long the oldest has (right axis). An "
            "age that keeps growing: the engine hangs or is away; of uploads alone: live frames "
            "take it.",
            units.Short,
            Query(total("sightline_waiting", "kind"), "{{kind}}"),
            Query(most("sightline_queue_age_seconds", "kind"), "oldest {{kind}}", unit="s"),
        ),
    ]


def _engines() -> list[Panel]:
    buckets = grown("sightline_batch_size_bucket", "le")
    best = f"max ({series('sightline_best_batch_size')})"
    return [
        trend(
            "Batch size",
            "Pictures in an engine call, on average, and the largest size that pays on this "
            "machine. One, with frames in line and a higher best size, is a fault: report it.",
            units.Short,
            Query(mean("sightline_batch_size"), "Mean", PLAIN),
            Query(best, "Best on this machine", QUIET, limit=True),
        ),
        heat(
            "Batch sizes",
            "How many engine calls had how many pictures: the darker, the more.",
            units.Short,
            Query(buckets, "{{le}}"),
        ),
        trend(
            "Engines busy",
            "Share of time the engines of a model have a batch in hand. Above 95 %: no reserve, "
            "drops follow. Low while frames are dropped as late: the deadline is too short.",
            units.PercentUnit,
            Query(f"max by (model) ({_BUSY})", "{{model}}"),
            steps={0.95: WARNING},
        ).max(1),
        trend(
            "Capacity",
            "What the default model's engines sustain, what of it is promised to streams or set "
            "aside, and what is answered. Reserved near 80 % of capacity: the next stream is "
            "offered less or refused. Answered near capacity: add engines or a GPU.",
            FPS,
            Query(total("sightline_capacity_fps"), "Capacity", QUIET, limit=True),
            Query(total("sightline_reserved_fps"), "Reserved", NOTICE),
            Query(ANSWERED, "Answered", GOOD),
        ).span(12),
        trend(
            "Open streams",
            "Live streams by server. A fall to zero on all at once: a restart, or the network.",
            units.Short,
            Query(total("sightline_streams_active", "instance"), "{{instance}}"),
        ).span(12),
    ]
