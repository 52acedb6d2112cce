"""*Models*: what is in memory, whether it takes frames, and how fast it is."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from sightline_dashboards.colours import BAD, ENGINES, GOOD, PLAIN, QUIET, WARNING
from sightline_dashboards.lifecycle import changes, jobs
from sightline_dashboards.page import page
from sightline_dashboards.panels import (
    Panel,
    Query,
    bars,
    heat,
    listing,
    mapping,
    reading,
    timeline,
    trend,
)
from sightline_dashboards.queries import RANGE, grown, mean, quantiles, rate, series, total

COLUMNS = ("instance", "model", "version", "engine", "precision", "device")
HEADINGS = ("Server", "Model", "Version", "Engine", "Precision", "Device")
IN_MEMORY = f"max by ({', '.join(COLUMNS)}) ({series('sightline_model_info')})"
READY = {0: ("no", BAD), 1: ("yes", GOOD)}
FALLBACK = {0: ("as asked for", GOOD), 1: ("slower engine", WARNING)}


def models() -> Dashboard:
    """Return the dashboard."""
    about = "The models: which are in memory, how fast they are, and how they came to serve."
    rows = {"Now": _now(), "Health": _health(), "Speed": _speed()}
    rows |= {"Changes": changes(), "Jobs": jobs()}
    return page("sightline-models", about, rows, span="6h", refresh="30s")


def _now() -> list[Panel]:
    return [
        reading(
            "Takes frames",
            "Whether the default model's engine takes frames, on every server chosen. 'no' for "
            "longer than a start takes: the server's log and /health say what the trouble is.",
            units.NoUnit,
            Query(f"min ({series('sightline_engine_ready')})", "Takes frames"),
            steps={1: GOOD},
            below=BAD,
        )
        .span(4)
        .mappings([mapping(READY)]),
        reading(
            "Engine",
            "'slower engine': a loaded model runs on another engine than was asked for, because "
            "that one failed. The log says why; `sightline doctor` tells what the machine has.",
            units.NoUnit,
            Query(f"max ({series('sightline_engine_fallback')})", "Engine"),
            steps={1: WARNING},
        )
        .span(5)
        .mappings([mapping(FALLBACK)]),
        reading(
            "Engines",
            "Engines that can take a batch, of all models. Fewer than SIGHTLINE_INSTANCES for "
            "each model: some are being started again.",
            units.Short,
            Query(total("sightline_engines_running"), "Engines"),
            steps={1: PLAIN},
            below=BAD,
        ).span(5),
        reading(
            "Restarts",
            "Engines started again within the time shown. More than one: see 'Restarts by reason'.",
            units.Short,
            Query(grown("sightline_engine_restarts_total", over=RANGE), "Restarts"),
            steps={0.5: WARNING, 5: BAD},
        )
        .span(5)
        .decimals(0),
        reading(
            "Loads that failed",
            "Models that could not be loaded within the time shown. The log names the file and "
            "what is wrong with it.",
            units.Short,
            Query(grown("sightline_model_loads_total", over=RANGE, result="failed"), "Failed"),
            steps={0.5: BAD},
        )
        .span(5)
        .decimals(0),
        listing(
            "Models in memory",
            "What runs, on which engine, how precisely and on which device. A device that isn't "
            "the one you meant: set SIGHTLINE_DEVICE or SIGHTLINE_ENGINE.",
            Query(IN_MEMORY, "{{model}}"),
            dict(zip(COLUMNS, HEADINGS, strict=True)),
        ).no_value("No model is in memory."),
    ]


def _health() -> list[Panel]:
    return [
        timeline(
            "When it took frames",
            "Red: the default model's engine took no frames. While it is away live frames are "
            "dropped and uploads wait.",
            {0: ("takes no frames", BAD), 1: ("takes frames", GOOD)},
            Query(f"max by (instance) ({series('sightline_engine_ready')})", "{{instance}}"),
        ),
        timeline(
            "Which engine it ran on",
            "Orange: a model ran on a slower engine than was asked for.",
            FALLBACK,
            Query(f"max by (instance) ({series('sightline_engine_fallback')})", "{{instance}}"),
        ),
        bars(
            trend(
                "Restarts by reason",
                "Crashed: the engine's process died, often for want of memory, see Resources. "
                "Hung: it never answered. Failing: five batches in a row failed, as on a broken "
                "GPU. After six within a minute the server rests for a minute.",
                units.Short,
                Query(grown("sightline_engine_restarts_total", "reason"), "{{reason}}"),
            )
        ),
        bars(
            trend(
                "Loads",
                "Models loaded, and those that failed.",
                units.Short,
                Query(grown("sightline_model_loads_total", "result"), "{{result}}"),
            )
        ),
        trend(
            "Memory of the engines",
            "What the engines' own processes hold. It should be flat between loads; a steady rise "
            "is a leak: report it, and restart when there is time.",
            units.BytesIEC,
            Query(total("sightline_engine_memory_bytes"), "Engines", ENGINES),
        ),
    ]


def _speed() -> list[Panel]:
    best = f"max ({series('sightline_best_batch_size')})"
    return [
        trend(
            "Inference latency",
            "Time of the engine call that answered a picture. A step at a purple mark is the "
            "other model's; a step without one is the machine's: see Resources.",
            units.Seconds,
            *quantiles("inference_latency_seconds"),
        )
        .span(12)
        .height(9),
        trend(
            "Engine calls and pictures",
            "Engine calls, and the pictures answered by them, per second. The further apart, the "
            "larger the batches.",
            units.OpsPerSecond,
            Query(rate("sightline_engine_executions_total"), "Engine calls", ENGINES),
            Query(rate("images_processed_total"), "Pictures", GOOD),
        )
        .span(12)
        .height(9),
        trend(
            "Batch size",
            "Pictures in an engine call, and the largest size that pays on this machine.",
            units.Short,
            Query(mean("sightline_batch_size"), "Mean", PLAIN),
            Query(best, "Best on this machine", QUIET, limit=True),
        ).span(12),
        heat(
            "Inference times",
            "How many pictures took how long: the darker, the more. Two bands: two batch sizes, "
            "two models, or an engine that is disturbed at times.",
            units.Seconds,
            Query(grown("inference_latency_seconds_bucket", "le"), "{{le}}"),
        ).span(12),
    ]
