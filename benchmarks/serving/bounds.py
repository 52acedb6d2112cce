"""The baselines of one round, each measured in a child process on the server's cores."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.serving.baselines import Pace
from benchmarks.serving.cores import on_cores
from benchmarks.serving.numbers import roofline
from benchmarks.serving.plan import ROOT, BenchmarkError, Plan
from sightline_backend.settings import Settings


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no server on these cores can pass."""

    bare: Pace  # B0: the engine on ready tensors, one at a time
    best: Pace  # E*: the same at its best batch size
    loop: Pace  # B1: all a frame needs, in one process
    pictures: Pace  # H*: decode and letterbox
    served: dict[str, Any]

    @property
    def roofline(self) -> float:
        """Frames a second."""
        return roofline(self.best.fps, self.pictures.fps, self.gpu)

    @property
    def gpu(self) -> bool:
        """Whether the model runs on a GPU, beside the decoding."""
        return not str(self.served["device"]).upper().startswith("CPU")

    @property
    def deadline_ms(self) -> float:
        """The age up to which an answer is in time in this benchmark."""
        return max(33.0, 3 * self.loop.p50_ms)


def measure_bounds(plan: Plan) -> Bounds:
    """Measure the baselines one after the other."""
    engine = _child(plan, "engine", plan.seconds / 4)
    paces = [Pace(**row) for row in engine["paces"]]
    loop, pictures = _child(plan, "loop", plan.seconds), _child(plan, "pictures", plan.seconds / 4)
    best = max(paces, key=lambda pace: pace.fps)
    return Bounds(paces[0], best, Pace(**loop), Pace(**pictures), engine["served"])


def cold_load_s(plan: Plan) -> float:
    """Return how long a new process takes from its start to its first inference."""
    command = [sys.executable, "-m", "benchmarks.serving.cold", str(plan.file), str(plan.threads)]
    settings = Settings()
    command += [settings.engine, settings.device] if settings.device else [settings.engine]
    started_s = time.monotonic()
    _run(plan, command)
    return time.monotonic() - started_s


def _child(plan: Plan, what: str, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.serving.baselines", what]
    command += ["--frames", str(plan.frames), "--model", plan.model]
    command += ["--threads", str(plan.threads), "--seconds", str(seconds)]
    data: dict[str, Any] = json.loads(_run(plan, command))
    return data


def _run(plan: Plan, command: list[str]) -> str:
    with on_cores(plan.cores.server):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip()[-2000:]
        raise BenchmarkError(f"A baseline failed: {' '.join(command)}\n{said}")
    return done.stdout
