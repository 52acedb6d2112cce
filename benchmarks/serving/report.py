"""The report: JSON for machines, a Markdown table for people."""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.load.frames import default_clip
from benchmarks.serving.baselines import Pace
from benchmarks.serving.figures import TARGETS, Figure, Measured
from benchmarks.serving.plan import QUALITY, SIZE_WH, Plan

PACKAGES = (
    "sightline-backend", "openvino", "onnxruntime", "numpy", "opencv-python-headless",
    "uvicorn", "starlette", "websockets",
)  # fmt: skip


def context(plan: Plan, measured: Measured, sha256: str, jpeg_bytes: float) -> dict[str, Any]:
    """Return what a reader needs to judge the figures."""
    bounds = [one.bounds for one in measured.rounds]
    loads = [load.report for one in measured.rounds for load in one.loads.values()]
    clip = default_clip()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": {"python": platform.python_version(), **_versions()},
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "placement": str(plan.cores),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "model": plan.model,
        "model_sha256": sha256,
        "engine": bounds[0].served,
        "threads": plan.threads,
        "pictures": (
            f"{SIZE_WH[0]}x{SIZE_WH[1]} JPEG, quality {QUALITY}, {jpeg_bytes / 1e3:.0f} kB, "
            f"{clip.name if clip else 'rendered'}"
        ),
        "rounds": len(bounds),
        "seconds": plan.seconds,
        "deadline_ms": bounds[0].deadline_ms,
        "roofline_fps": measured.roofline,
        "B0": _middle([bound.bare for bound in bounds]),
        "E*": _middle([bound.best for bound in bounds]),
        "B1": _middle([bound.loop for bound in bounds]),
        "H*": _middle([bound.pictures for bound in bounds]),
        "generator_cpu": max(
            (r.generator_cpu_s / (r.seconds + plan.warm_s) for r in loads), default=0.0
        ),
        "loads": [_loads(one.loads) for one in measured.rounds],
    }


def as_json(found: Sequence[Figure], about: dict[str, Any]) -> str:
    """Return the figures and their context."""
    rows: dict[str, Any] = {
        figure.key: {
            "value": round(figure.value, 4) if math.isfinite(figure.value) else None,
            "target": figure.target,
            "ok": figure.ok,
            "note": figure.note,
        }
        for figure in found
    }
    return json.dumps({**rows, "context": about}, indent=1, ensure_ascii=False) + "\n"


def as_markdown(found: Sequence[Figure], about: dict[str, Any]) -> str:
    """Return the table, what it was measured on, and the baselines."""
    engine, deadline = about["engine"], about["deadline_ms"]
    lines = [
        f"{about['model']} ({about['model_sha256'][:12]}) on {engine['engine']} "
        f"{engine['precision']}, {engine['device']}, {about['threads']} thread(s); {about['cpu']}, "
        f"{about['cores']} cores; {about['date']}.",
        f"{about['placement']} Pictures: {about['pictures']}. Deadline {deadline:.0f} ms. "
        f"{about['rounds']} round(s) of {about['seconds']:g} s a load; medians of paired ratios.",
        "",
        "| baseline | frames/s | p50 ms | p99 ms | CPU ms a frame |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key, title in (
        ("B0", "B0 engine alone"),
        ("E*", "E* engine at its best batch"),
        ("B1", "B1 one process, decode to JSON"),
        ("H*", "H* decode and letterbox"),
    ):
        one = about[key]
        batch = f" (batch {one['batch']})" if one["batch"] > 1 else ""
        lines.append(
            f"| {title}{batch} | {one['fps']:.1f} | {one['p50_ms']:.2f} | {one['p99_ms']:.2f} |"
            f" {one['cpu_ms']:.2f} |"
        )
    lines += [f"| roofline | {about['roofline_fps']:.1f} | | | |", ""]
    lines += [
        "| # | figure | value | target | reached | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {f.key} | {f.title} | {_short(f.value)} | {f.target} |"
        f" {'yes' if f.ok else '**missed**'} | {f.note} |"
        for f in found
    ]
    missing = [key for key in TARGETS if key not in {figure.key for figure in found}]
    if missing:
        lines += ["", f"Not measured in this run: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def write(folder: Path, found: Sequence[Figure], about: dict[str, Any]) -> str:
    """Write serving.json and serving.md and return the latter's text."""
    folder.mkdir(parents=True, exist_ok=True)
    text = as_markdown(found, about)
    (folder / "serving.json").write_text(as_json(found, about))
    (folder / "serving.md").write_text(text)
    return text


def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    file = Path("/proc/cpuinfo")
    for line in file.read_text().splitlines() if file.is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _short(value: float) -> str:
    return f"{value:.4f}" if 0.9 < value < 1.1 else f"{value:.3g}"


def _middle(paces: Sequence[Pace]) -> dict[str, float]:
    middle = {
        name: statistics.median(getattr(pace, name) for pace in paces)
        for name in ("fps", "p50_ms", "p99_ms", "cpu_ms")
    }
    return {**middle, "batch": paces[0].batch}


def _loads(loads: Any) -> dict[str, Any]:
    return {
        name: {
            "streams": [round(rate, 2) for rate in load.report.rates],
            "offered": load.report.offered,
            "in_time": load.report.in_time,
            "late": load.report.late,
            "dropped": dict(load.report.dropped),
            "errors": dict(load.report.errors),
            "lost": load.report.lost,
            "age_p50_ms": load.report.age_ms.p50,
            "age_p99_ms": load.report.age_ms.p99,
            "in_time_by_stream": list(load.report.in_time_by_stream),
            "cpu_ms": round(load.cpu_ms, 2),
            "lag_p99_ms": load.lag_p99_ms,
        }
        for name, load in loads.items()
    }


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
