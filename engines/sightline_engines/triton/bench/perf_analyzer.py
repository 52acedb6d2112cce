"""NVIDIA's perf_analyzer on the same model, where it is installed, beside our own figures.

Its CSV is read, not its JSON export: that holds every request's tensors in decimals, 890 MB for
380 pictures.
"""

from __future__ import annotations

import base64
import csv
import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sightline_engines.errors import ProviderError
from sightline_engines.triton.bench.figures import Measured
from sightline_engines.triton.bench.options import BenchOptions, Closed, Stable
from sightline_engines.triton.bench.payload import rendered
from sightline_engines.triton.client import open_client

PROGRAM = "perf_analyzer"
_SPARE_S = 120.0  # to start, and to end the last window
_REPORT, _PICTURES = "report.csv", "pictures.json"

# Its CSV's columns; those of time are in µs.
_PER_S = "Inferences/Second"
_TIMES = {
    "mean_ms": "Avg latency",
    "p50_ms": "p50 latency",
    "p90_ms": "p90 latency",
    "p95_ms": "p95 latency",
    "p99_ms": "p99 latency",
    "queue_ms": "Server Queue",
    "input_ms": "Server Compute Input",
    "infer_ms": "Server Compute Infer",
    "output_ms": "Server Compute Output",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """What perf_analyzer found."""

    pictures_per_s: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    queue_ms: float
    input_ms: float
    infer_ms: float
    output_ms: float

    def ratio(self, measured: Measured) -> float:
        """Return our throughput as a multiple of its own."""
        return measured.pictures_per_s / self.pictures_per_s if self.pictures_per_s else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        return asdict(self)


def find(asked: Path | None = None) -> Path:
    """Return the program, from the PATH if none is named; raises ProviderError."""
    found = shutil.which(str(asked or PROGRAM))
    if found is None:
        raise ProviderError(
            f"{asked or PROGRAM} isn't a program here. It is part of Triton's SDK image and of the "
            "wheel tritonclient 2.51; name it with --perf-analyzer PATH."
        )
    return Path(found)


def run(program: Path, options: BenchOptions) -> Peer:
    """Measure with perf_analyzer what `measure` measures with these options.

    It measures windows until they are stable, `Count` or not: it rounds the time that a count
    of requests takes up to whole seconds. Raises ProviderError where it gives no figures.
    """
    with tempfile.TemporaryDirectory(prefix="sightline-perf-") as folder:
        made = Path(folder)
        arguments = command(options, made / _REPORT)
        pictures = _pictures(options)
        if pictures is not None:
            (made / _PICTURES).write_text(pictures)
            arguments += ["--input-data", str(made / _PICTURES)]
        until = _until(options)
        limit_s = until.window_s * until.most_windows * 2 + _SPARE_S
        try:
            done = subprocess.run(
                [str(program), *arguments],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ProviderError(f"{program.name} wasn't done within {limit_s:.0f} s.") from None
        except OSError as error:
            raise ProviderError(f"{program} can't be run: {error}.") from error
        report = made / _REPORT
        if done.returncode or not report.is_file():
            said = " ".join((done.stderr or done.stdout).split())[-400:]
            raise ProviderError(f"{program.name} gave no figures (exit {done.returncode}): {said}")
        return parse(report.read_text())


def command(options: BenchOptions, report: Path) -> list[str]:
    """Return its arguments, but for pictures."""
    load, until = options.load, _until(options)
    arguments = ["-m", options.model, "-u", options.url, "-i", options.protocol]
    arguments += ["-x", options.version] if options.version else []
    if isinstance(load, Closed):
        arguments += ["--concurrency-range", str(load.in_flight)]
    else:
        arguments += ["--request-rate-range", f"{load.rate:g}"]
        arguments += ["--request-distribution", load.arrivals]
        arguments += ["--max-threads", str(load.most_in_flight)]
    arguments += ["-b", str(options.batch), "-p", str(round(until.window_s * 1000))]
    arguments += ["-s", f"{until.tolerance * 100:g}", "-r", str(until.most_windows)]
    for name, shape in options.shapes.items():
        arguments += ["--shape", f"{name}:{','.join(map(str, shape))}"]
    arguments += ["-f", str(report), "--verbose-csv"]
    return arguments


def input_data(name: str, pictures: Sequence[bytes]) -> str:
    """Return pictures as its JSON has them: in base64, each behind its length in four bytes."""
    data = [
        {name: {"content": {"b64": base64.b64encode(_framed(one)).decode()}, "shape": [1]}}
        for one in pictures
    ]
    return json.dumps({"data": data})


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def parse(text: str) -> Peer:
    """Read the one row of its CSV; raises ProviderError where a figure is missing."""
    rows = list(csv.DictReader(text.splitlines()))
    try:
        if len(rows) != 1:
            raise ValueError(f"{len(rows)} rows")
        row = rows[0]
        times = {field: float(row[column]) / 1000 for field, column in _TIMES.items()}
        return Peer(pictures_per_s=float(row[_PER_S]), **times)
    except (KeyError, TypeError, ValueError) as error:
        raise ProviderError(
            f"perf_analyzer's report can't be read ({error!s}); 2.51's is known here."
        ) from error


def _pictures(options: BenchOptions) -> str | None:
    """Return what a model that takes strings is sent, the same as by `measure`."""
    with open_client(options.triton()) as client:
        inputs = client.metadata(options.model, options.version).inputs
    names = [tensor.name for tensor in inputs if tensor.datatype == "BYTES"]
    pictures = options.pictures or (rendered(options.seed),)
    return input_data(names[0], pictures) if names else None


def _until(options: BenchOptions) -> Stable:
    return options.until if isinstance(options.until, Stable) else Stable()
