"""*Triton*: what is deployed there, how it answers, and what it tells of itself."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from sightline_dashboards.colours import BAD, GOOD, PLAIN, WARNING
from sightline_dashboards.page import page
from sightline_dashboards.panels import (
    Panel,
    Query,
    bars,
    mapping,
    reading,
    timeline,
    trend,
)
from sightline_dashboards.queries import RANGE, grown, quantiles, rate, series, share, total
from sightline_dashboards.triton_models import gpus, models

ANSWERS = {0: ("no", BAD), 1: ("yes", GOOD)}


def triton() -> Dashboard:
    """Return the dashboard."""
    about = "Triton: whether it answers, what is deployed to it, and how long its models take."
    rows = {
        "Seen from the server": [*_now(), *_calls()],
        "Its models": models(),
        "Its GPUs (empty on a machine without one)": gpus(),
    }
    return page("sightline-triton", about, rows, span="1h", refresh="15s")


def _now() -> list[Panel]:
    fallback = grown("sightline_triton_batches_total", over=RANGE, ran_on="fallback")
    failed = grown("sightline_triton_deployments_total", over=RANGE, result="failed")
    return [
        reading(
            "Triton answers",
            "To every server chosen. 'no': see `docker compose logs triton` and the runbook "
            "TritonDown.",
            units.NoUnit,
            Query(f"min ({series('sightline_triton_live')})", "Triton answers"),
            steps={1: GOOD},
            below=BAD,
        ).mappings([mapping(ANSWERS)]),
        reading(
            "Deployed names",
            "Names under which models are deployed. Unavailable ones should answer and don't: the "
            "page Deploy shows Triton's reason.",
            units.Short,
            Query(total("sightline_triton_models", state="ready"), "ready", GOOD),
            Query(total("sightline_triton_models", state="unavailable"), "unavailable", BAD),
            below=PLAIN,
        ),
        reading(
            "Answered by the fallback",
            "Share of the batches for Triton that an engine of this machine ran instead, within "
            "the time shown. More than zero: Triton was away.",
            units.PercentUnit,
            Query(share(fallback, grown("sightline_triton_batches_total", over=RANGE)), "Share"),
            steps={0.001: WARNING},
        ),
        reading(
            "Deployments that failed",
            "Within the time shown; what was deployed before serves on. The log says why.",
            units.Short,
            Query(failed, "Failed"),
            steps={0.5: BAD},
        ).decimals(0),
    ]


def _calls() -> list[Panel]:
    return [
        trend(
            "Batches sent",
            "Away: no answer in time; while Triton is known to be away few are even tried. Failed: "
            "it answered with an error.",
            units.OpsPerSecond,
            Query(rate("sightline_triton_calls_total", "result"), "{{result}}"),
        ),
        trend(
            "Time until Triton answers",
            "From sending a batch to its answer. What Triton needs of it is below; the rest is the "
            "way there and back: shared memory shortens it on one machine.",
            units.Seconds,
            *quantiles("sightline_triton_call_duration_seconds"),
        ),
        bars(
            trend(
                "Who ran the batches",
                "Triton, or the fallback of this machine while Triton is away.",
                units.Short,
                Query(grown("sightline_triton_batches_total", "ran_on"), "{{ran_on}}"),
            )
        ),
        timeline(
            "When Triton answered",
            "Red: it didn't. The server tries again by itself, every few seconds.",
            {0: ("no answer", BAD), 1: ("answers", GOOD)},
            Query(f"min by (instance) ({series('sightline_triton_live')})", "{{instance}}"),
        )
        .span(8)
        .height(8),
        bars(
            trend(
                "Deployments",
                "Changes of what is deployed. Failed: nothing changed.",
                units.Short,
                Query(grown("sightline_triton_deployments_total", "result"), "{{result}}"),
            )
        ),
        bars(
            trend(
                "Probes and reloads",
                "Real inferences that tried what is deployed, and names loaded anew since theirs "
                "failed. Reloads again and again: the runbook TritonModelFailing.",
                units.Short,
                Query(grown("sightline_triton_probes_total", "result"), "probe {{result}}"),
                Query(grown("sightline_triton_reloads_total", "result"), "reload: {{result}}"),
            )
        ),
    ]
