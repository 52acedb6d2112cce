"""The measurements of `bench`, one after the other, and the files that are written."""

from __future__ import annotations

import csv
import io
import json
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline_backend.cli.console import stderr
from sightline_engines.errors import ProviderError
from sightline_engines.progress import Progress, part
from sightline_engines.triton.bench import perf_analyzer
from sightline_engines.triton.bench.figures import Measured
from sightline_engines.triton.bench.measure import measure
from sightline_engines.triton.bench.options import BenchOptions
from sightline_engines.triton.bench.perf_analyzer import Peer
from sightline_engines.triton.bench.sweep import Swept


@dataclass(frozen=True, slots=True)
class Run:
    """One load, measured by us and, where it is there, by perf_analyzer."""

    measured: Measured
    peer: Peer | None = None
    peer_error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        beside: dict[str, Any] | None = None
        if self.peer is not None:
            beside = self.peer.to_dict() | {"ratio": self.peer.ratio(self.measured)}
        told = {"perf_analyzer": beside, "perf_analyzer_error": self.peer_error or None}
        return self.measured.to_dict() | told


def program(asked: str) -> Path | None:
    """Return perf_analyzer where it is to be used; raises ProviderError where it isn't there."""
    if asked == "no":
        return None
    if asked == "auto":
        found = shutil.which(perf_analyzer.PROGRAM)
        return Path(found) if found else None
    return perf_analyzer.find(Path(asked))


def measure_all(
    loads: Sequence[BenchOptions], peer: Path | None, tell: Progress, stop: threading.Event
) -> list[Run]:
    """Measure each load until all are done or one was cut short."""
    runs: list[Run] = []
    for number, options in enumerate(loads):
        step = part(tell, number / len(loads), (number + 1) / len(loads))
        measured = measure(options, step, stop)
        if peer is None or not measured.complete:
            runs.append(Run(measured))
        else:
            step(1.0, "perf_analyzer measures the same")
            runs.append(_beside(measured, peer, options))
        if stop.is_set() or not measured.complete:
            break
    return runs


def _beside(measured: Measured, peer: Path, options: BenchOptions) -> Run:
    try:
        return Run(measured, perf_analyzer.run(peer, options))
    except ProviderError as error:
        return Run(measured, peer_error=error.message)


def write_runs(runs: Sequence[Run], output: Path) -> None:
    """Write the measurements whole or not at all."""
    if output.suffix.lower() == ".json":
        _write(output, json.dumps([run.to_dict() for run in runs], indent=2) + "\n")
    else:
        _write(output, _csv([_row(run.measured) | _peer_row(run) for run in runs]))


def write_swept(swept: Swept, output: Path) -> None:
    """Write a sweep whole or not at all."""
    if output.suffix.lower() == ".json":
        _write(output, json.dumps(swept.to_dict(), indent=2) + "\n")
        return
    rows = []
    for one in swept.tried:
        setting: dict[str, Any] = {
            "instances": one.setting.instances,
            "preferred_batch_sizes": "+".join(map(str, one.setting.preferred_batch_sizes)),
            "max_queue_delay_us": one.setting.max_queue_delay_us,
            "best": one.setting == swept.choice.best,
            "error": one.error,
        }
        rows.append(setting | (_row(one.measured) if one.measured else {}))
    _write(output, _csv(rows))


def _row(measured: Measured) -> dict[str, Any]:
    latency = measured.to_dict()["latency_ms"] or {}
    row = {
        "model": measured.model,
        "load": measured.load,
        "batch": measured.batch,
        "complete": measured.complete,
        "stable": measured.stable,
        "seconds": measured.seconds,
        "requests": measured.requests,
        "failed": measured.failed,
        "requests_per_s": measured.requests_per_s,
        "pictures_per_s": measured.pictures_per_s,
        **{f"{name}_ms": value for name, value in latency.items()},
    }
    for split in measured.server[:1]:
        means = split.mean_ms
        row |= {"server_total_ms": means.total, "queue_ms": means.queue, "input_ms": means.input}
        row |= {"infer_ms": means.infer, "output_ms": means.output}
    return row


def _peer_row(run: Run) -> dict[str, Any]:
    if run.peer is None:
        return {}
    told = run.peer.to_dict() | {"ratio": run.peer.ratio(run.measured)}
    return {f"perf_analyzer_{name}": value for name, value in told.items()}


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(output: Path, text: str) -> None:
    unfinished = output.with_name(f"{output.name}.part")
    unfinished.write_text(text)
    unfinished.replace(output)
    stderr.print(f"Written to {output}", style="dim", markup=False, soft_wrap=True)
