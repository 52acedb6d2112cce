"""The part of *Models* about jobs, TensorRT plans and changes of what serves."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from sightline_dashboards.colours import BAD, ENGINES, LIMIT, PLAIN, QUIET
from sightline_dashboards.panels import Panel, Query, bars, trend
from sightline_dashboards.queries import grown, mean, most, series, total

LOSS = 0.01  # where the alert ModelLessAccurate begins
SLOWDOWN = 1.25  # and ModelSlower


def changes() -> list[Panel]:
    """Return the panels about what serves and how it came there."""
    return [
        trend(
            "Accuracy of what serves",
            "mAP50-95 as last measured; models that never were have no line. Measure one: "
            "`sightline benchmark --model NAME --data PICTURES`.",
            units.PercentUnit,
            Query(most("sightline_model_accuracy", "model"), "{{model}}"),
        ),
        trend(
            "Accuracy lost",
            "mAP50-95 that what serves has less than what it replaced, on the same pictures. Above "
            "the dashed line an alert fires: roll back, or say that it is meant so.",
            units.PercentUnit,
            Query(most("sightline_model_accuracy_loss", "model"), "{{model}}"),
            steps={LOSS: LIMIT},
        ),
        trend(
            "Slower than before",
            "Measured p95 latency of what serves, divided by that of what it replaced: below 1 it "
            "is faster. Above the dashed line an alert fires.",
            units.Short,
            Query(most("sightline_model_slowdown_ratio", "model"), "{{model}}"),
            steps={SLOWDOWN: LIMIT},
        ),
        bars(
            trend(
                "Changes of model",
                "Changes of what serves under a name. Refused: the accuracy gate. Failed: the new "
                "one didn't load, the old one serves on; the log says why.",
                units.Short,
                Query(grown("sightline_model_swaps_total", "result"), "{{result}}"),
            )
        ),
        bars(
            trend(
                "Shadow runs",
                "Frames that a candidate saw beside what serves, by whether their boxes agreed.",
                units.Short,
                Query(grown("sightline_shadow_frames_total", "agreed"), "agreed: {{agreed}}"),
            )
        ),
        bars(
            trend(
                "TensorRT plans",
                "Plans rebuilt because GPU, driver or TensorRT had changed, and models that wait "
                "for theirs and serve from ONNX meanwhile.",
                units.Short,
                Query(grown("sightline_engine_builds_total", "result"), "{{result}}"),
                Query(total("sightline_engines_rebuilding"), "Waiting", QUIET),
            )
        ),
    ]


def jobs() -> list[Panel]:
    """Return the panels about jobs."""
    return [
        bars(
            trend(
                "Jobs by how they ended",
                "Conversions, validations, benchmarks and pipelines together. Failed: "
                "`sightline jobs list` and `sightline jobs log` say why.",
                units.Short,
                Query(grown("sightline_jobs_total", "result"), "{{result}}"),
            )
        ).span(6),
        trend(
            "Jobs open",
            "In line and at work; one at a time runs on each device.",
            units.Short,
            Query(total("sightline_jobs_open", "state"), "{{state}}"),
        ).span(6),
        trend(
            "Mean time of a job",
            "Of those that ended well or failed, by kind.",
            units.Seconds,
            Query(mean("sightline_job_duration_seconds", "kind"), "{{kind}}"),
        ).span(6),
        trend(
            "Silence of the job at work",
            "How long it has told nothing. A quarter of an hour: see its log, or cancel it.",
            units.Seconds,
            Query(f"max ({series('sightline_job_silence_seconds')})", "Silent", ENGINES),
            Query(f"1 - min ({series('sightline_store_ready')})", "Database away", BAD, "short"),
            steps={900: PLAIN},
        ).span(6),
    ]
