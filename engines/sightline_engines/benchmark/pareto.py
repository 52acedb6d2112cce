"""The cells that nothing beats in speed and accuracy at once."""

from __future__ import annotations

from collections.abc import Sequence

from sightline_engines.benchmark.cells import CellResult


def pareto_front(results: Sequence[CellResult]) -> list[CellResult]:
    """Return the measured cells, fastest first, that are more accurate than all faster ones."""
    measured = [
        (result.pipeline_ms.p50, -result.accuracy.map50_95, number)
        for number, result in enumerate(results)
        if result.state == "done" and result.pipeline_ms and result.accuracy
    ]
    front: list[CellResult] = []
    best = 1.0  # of the negative accuracy: none is as bad
    for _, loss, number in sorted(measured):
        if loss < best:
            best = loss
            front.append(results[number])
    return front
