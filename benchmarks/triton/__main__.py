"""Measure at a real Triton: overhead, our load beside perf_analyzer, the GPU table.

    python -m benchmarks.triton                       # a few minutes, and benchmarks/out/triton.md
    python -m benchmarks.triton --only gpu --server /opt/tritonserver/bin/tritonserver

The first two run the shipped detector on the tritonserver of the tests (docs/testing.md), the
third on one with a GPU. Sides take turns in short rounds and what is told is the median of the
rounds' ratios. They must have the machine to themselves: where others use it too, `chrt -r 1`
before the command (as root) sees to that. The exit status is 1 where our load differs from
perf_analyzer's by more than 5 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.triton import beside, gpu, overhead
from sightline_engines.errors import SightlineError
from tests.triton.at_triton import at_triton
from tests.triton.environment import install_triton

PARTS = ("overhead", "beside", "gpu")


def main() -> int:
    """Read the command line, measure, print and write the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.triton", description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="all if not given")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=40, help="of each side in a round of overhead")
    parser.add_argument("--window-s", type=float, default=2.0)
    parser.add_argument("--server", type=Path, default=Path("tritonserver"), help="with a GPU")
    parser.add_argument("--backends", type=Path, help="its backends' folder, if not its own")
    parser.add_argument("--model", type=Path, help="an ONNX file or plan for the GPU table")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/out"))
    asked = parser.parse_args()
    parts = asked.only or list(PARTS)
    lines: list[str] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="sightline-triton-") as folder:
        if {"overhead", "beside"} & set(parts):
            environment = install_triton()
            with at_triton(environment, Path(folder)) as triton:
                triton.load()
                if "overhead" in parts:
                    lines += _told(overhead.measured(triton, asked.rounds, asked.calls))
                if "beside" in parts:
                    program = environment.perf_analyzer
                    table, holds = beside.measured(triton, program, asked.rounds, asked.window_s)
                    lines += _told(table)
                    failed = not holds
        if "gpu" in parts:
            place = gpu.Place(asked.server, asked.backends, asked.model, Path(folder))
            try:
                lines += _told(gpu.measured(place, asked.window_s))
            except SightlineError as error:
                lines += _told([f"No GPU table: {error.message}", ""])
                failed = failed or asked.only == ["gpu"]
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "triton.md").write_text("\n".join(lines) + "\n")
    return int(failed)


def _told(lines: list[str]) -> list[str]:
    print("\n".join(lines), flush=True)
    return lines


if __name__ == "__main__":
    sys.exit(main())
