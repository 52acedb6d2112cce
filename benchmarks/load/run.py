"""Run the load generator as a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.report import LoadReport
from benchmarks.load.spec import LoadSpec

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0  # for the imports, the clip and the connections


class LoadError(RuntimeError):
    """A run that gave no report."""


@dataclass(frozen=True, slots=True, eq=False)
class RunningLoad:
    """A load generator at work."""

    spec: LoadSpec
    process: subprocess.Popen[str]
    out: Path

    def report(self) -> LoadReport:
        """Wait for the report; raises LoadError, with what the process said, if there is none."""
        limit_s = START_S + self.spec.warm_s + self.spec.seconds
        try:
            _, errors = self.process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise LoadError(f"The load generator did not end in {limit_s:g} s.") from None
        if not self.out.is_file():
            raise LoadError(f"The load generator failed: {errors.strip()[-2000:]}")
        return LoadReport.from_json(self.out.read_text())


@contextmanager
def loading(spec: LoadSpec) -> Iterator[RunningLoad]:
    """Start a load; it is stopped at the end of the block if it still runs."""
    with tempfile.TemporaryDirectory(prefix="sightline-load-") as folder:
        out = Path(folder) / "report.json"
        command = [sys.executable, "-m", "benchmarks.load", *spec.arguments(), "--out", str(out)]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield RunningLoad(spec, process, out)
            finally:
                process.kill()


def run_load(spec: LoadSpec) -> LoadReport:
    """Run a load and wait for its report; raises LoadError where there is none."""
    with loading(spec) as load:
        return load.report()
