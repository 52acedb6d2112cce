"""Our load generator beside perf_analyzer, on the same model.

On the shipped detector, and on one that takes the same pictures and waits: it leaves the machine
to the two generators, so what they cost shows and what else runs there hardly does.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from sightline_engines.triton.bench import perf_analyzer
from sightline_engines.triton.bench.measure import measure
from sightline_engines.triton.bench.options import BenchOptions, Closed, Stable
from sightline_engines.triton.config import ConfigTensor, config_text, described
from sightline_engines.triton.repository import Repository
from tests.triton.at_triton import AtTriton

IN_FLIGHT = (1, 4)
TARGET = 0.05
WAITS = "waits"
WAIT_S = 0.02
_MODEL = f"""
import time

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep({WAIT_S})
        answer = np.zeros((1, 1), np.float32)
        return [pb.InferenceResponse([pb.Tensor("OUT", answer)]) for _ in requests]
"""


@dataclass(slots=True)
class Rounds:
    """What both found in each round."""

    ours: list[float] = field(default_factory=list)  # requests a second
    its: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)  # ours as a multiple of its
    p99: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Our throughput as a multiple of its, round by round."""
        return [ours / its for ours, its in zip(self.ours, self.its, strict=True)]

    @property
    def holds(self) -> bool:
        """Whether the median of the rounds is within 5 % of perf_analyzer's throughput."""
        return bool(self.ratios) and abs(statistics.median(self.ratios) - 1) <= TARGET


def measured(
    triton: AtTriton, program: Path, rounds: int, window_s: float
) -> tuple[list[str], bool]:
    """Return the table, and whether all of it is within 5 %.

    Three windows each, whether steady or not: rounds even that out.
    """
    until = Stable(window_s, 100.0, 3)
    _place(triton)
    all_found: dict[tuple[str, int], Rounds] = {}
    models = {"detector": triton.deployment.tensors, f"waits {WAIT_S * 1e3:g} ms": WAITS}
    for (told, model), in_flight in product(models.items(), IN_FLIGHT):
        options = BenchOptions(triton.server.grpc_url, model, load=Closed(in_flight), until=until)
        found = Rounds()
        for turn in range(rounds):
            _round(found, options, program, ours_first=bool(turn % 2))
        all_found[told, in_flight] = found
    return table(all_found), all(one.holds for one in all_found.values())


def table(all_found: Mapping[tuple[str, int], Rounds]) -> list[str]:
    """Return the lines of what was found, by model and requests in flight."""
    lines = [
        "## Sightline's load beside perf_analyzer",
        "",
        "| model | in flight | ours, requests/s | perf_analyzer | ratio (lowest to highest round) "
        "| within 5 % | p50 ratio | p99 ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (told, in_flight), found in all_found.items():
        ratio = statistics.median(found.ratios)
        spread = f"{ratio:.3f} ({min(found.ratios):.3f} to {max(found.ratios):.3f})"
        lines.append(
            f"| {told} | {in_flight} | {statistics.median(found.ours):.1f} "
            f"| {statistics.median(found.its):.1f} | {spread} | {'yes' if found.holds else 'no'} "
            f"| {statistics.median(found.p50):.3f} | {statistics.median(found.p99):.3f} |"
        )
    return [*lines, ""]


def _place(triton: AtTriton) -> None:
    """Put the model that waits into the repository, and load it."""
    width, height = triton.spec.input_size_wh
    sides = (ConfigTensor("IN", "UINT8", (height, width, 3)), ConfigTensor("OUT", "FP32", (1,)))
    config = described(WAITS, sides[:1], sides[1:], 1, {})
    config.backend = "python"
    Repository(triton.folder).place(
        WAITS, {"config.pbtxt": config_text(config), "1/model.py": _MODEL}
    )
    triton.client.load(WAITS)


def _round(found: Rounds, options: BenchOptions, program: Path, *, ours_first: bool) -> None:
    ours = measure(options) if ours_first else None
    peer = perf_analyzer.run(program, options)
    ours = ours or measure(options)
    if ours.latency_ms is None:
        raise RuntimeError(f"no request was answered: {ours.remark}")
    found.ours.append(ours.pictures_per_s)
    found.its.append(peer.pictures_per_s)
    found.p50.append(ours.latency_ms.p50 / peer.p50_ms)
    found.p99.append(ours.latency_ms.p99 / peer.p99_ms)
