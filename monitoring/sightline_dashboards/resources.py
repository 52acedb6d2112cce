"""*Resources*: what the machine has left, and whether the monitoring itself works."""

from __future__ import annotations

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from sightline_dashboards.colours import (
    BAD,
    ENGINES,
    GOOD,
    PLAIN,
    QUIET,
    SERVER,
    WARNING,
)
from sightline_dashboards.gpu import gpu_health, gpu_load
from sightline_dashboards.page import page
from sightline_dashboards.panels import Panel, Query, timeline, trend
from sightline_dashboards.queries import most, quantile, rate, share, total

JOB = "sightline"  # Prometheus and others have process_* of their own
PROMETHEUS = '{job="prometheus"}'


def resources() -> Dashboard:
    """Return the dashboard."""
    about = "What the machine has left, and whether the monitoring itself works."
    rows = {
        "GPU (empty on a machine without one)": [*gpu_load(), *gpu_health()],
        "Processor and memory": _machine(),
        "Disk, network, files": _files(),
        "The monitoring itself": _watchers(),
    }
    return page("sightline-resources", about, rows, span="1h", refresh="15s")


def _machine() -> list[Panel]:
    memory = "sightline_host_memory_bytes"
    whole = most(memory, "instance", state="total")
    used = f"{whole} - {most(memory, 'instance', state='available')}"
    allowed = most("sightline_memory_limit_bytes", "instance")
    allowed_used = most("sightline_memory_used_bytes", "instance")
    return [
        trend(
            "Processor of the machine",
            "Share of all cores in use, by anything. Above 90 %: engines and decoding slow each "
            "other down; set SIGHTLINE_THREADS, or move what else runs here.",
            units.PercentUnit,
            Query(most("sightline_host_cpu_utilization", "instance"), "{{instance}}"),
            steps={0.9: WARNING},
        )
        .span(6)
        .max(1),
        trend(
            "Cores in use",
            "By the server's own process and by its engines. The server near one core: it is one "
            "thread of Python, so run another server beside it.",
            "suffix:cores",
            Query(rate("process_cpu_seconds_total", job=JOB), "Server", SERVER),
            Query(rate("sightline_engine_cpu_seconds_total"), "Engines", ENGINES),
        ).span(6),
        trend(
            "Memory of the machine",
            "Used by anything, and what there is, as each server sees its machine. Within a tenth "
            "of the whole the kernel may end an engine: keep fewer models in memory.",
            units.BytesIEC,
            Query(used, "{{instance}} used"),
            Query(whole, "{{instance}} total", limit=True),
        ).span(6),
        trend(
            "Memory of Sightline",
            "Of the servers' own processes and of their engines; in containers also what counts "
            "against each one's limit, and the limit. Above nine tenths of it: raise it, or keep "
            "fewer models. A steady rise over hours is a leak: report it, and restart.",
            units.BytesIEC,
            Query(total("process_resident_memory_bytes", job=JOB), "Server", SERVER),
            Query(total("sightline_engine_memory_bytes"), "Engines", ENGINES),
            Query(allowed_used, "{{instance}} of its limit", WARNING),
            Query(allowed, "{{instance}} limit", limit=True),
        ).span(6),
    ]


def _files() -> list[Panel]:
    disk = "sightline_host_disk_bytes"
    free = share(most(disk, "instance", state="free"), most(disk, "instance", state="total"))
    open_files = share(
        most("process_open_fds", "instance", job=JOB),
        most("process_max_fds", "instance", job=JOB),
    )
    return [
        trend(
            "Disk free",
            "Of the disk that holds the models. Below 10 %: remove models that aren't used with "
            "`sightline models`, and old logs.",
            units.PercentUnit,
            Query(free, "{{instance}}"),
            steps={0.1: WARNING},
        ).max(1),
        trend(
            "Network",
            "Of the machine, or of the container where the server is in one. A camera of 640x480 "
            "at 15 frames a second takes about 0.5 MB/s.",
            units.BytesPerSecondSI,
            Query(rate("sightline_host_network_bytes_total", "direction"), "{{direction}}"),
        ),
        trend(
            "Open files and sockets",
            "Share of what the server may open; each stream takes one. Above 80 %: raise the "
            "limit (`ulimit -n`, `nofile`), or look for clients that leave connections open.",
            units.PercentUnit,
            Query(open_files, "{{instance}}"),
            steps={0.8: WARNING},
        ).max(1),
    ]


def _watchers() -> list[Panel]:
    kept, log = "prometheus_tsdb_storage_blocks_bytes", "prometheus_tsdb_wal_storage_size_bytes"
    held = f"sum ({kept}{PROMETHEUS}) + sum ({log}{PROMETHEUS})"
    return [
        trend(
            "Server held up",
            "How much later than asked the server's event loop woke up. Above 50 ms: something "
            "blocks it, and every stream feels it; the processor may be overloaded.",
            units.Seconds,
            Query(quantile(0.5, "sightline_event_loop_lag_seconds"), "p50", PLAIN),
            Query(quantile(0.99, "sightline_event_loop_lag_seconds"), "p99", WARNING),
            steps={0.05: BAD},
        ).span(6),
        timeline(
            "Read by Prometheus",
            "Red: Prometheus could not read it, so figures and alerts of that part are blind.",
            {0: ("not read", BAD), 1: ("read", GOOD)},
            Query("min by (job, instance) (up)", "{{job}} {{instance}}"),
        )
        .span(6)
        .height(8),
        trend(
            "Time to read the figures",
            "How long each target takes to answer a scrape. The server's should stay below 0.1 s.",
            units.Seconds,
            Query("max by (job) (scrape_duration_seconds)", "{{job}}"),
        ).span(6),
        trend(
            "Prometheus",
            "Its series (left) and the disk it holds (right). Series that grow without end: a "
            "label has got too many values. The disk levels off after the retention time.",
            units.Short,
            Query(f"sum (prometheus_tsdb_head_series{PROMETHEUS})", "Series", PLAIN),
            Query(held, "On disk", QUIET, units.BytesIEC),
        ).span(6),
    ]
