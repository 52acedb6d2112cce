"""Which configuration to take under limits, and why: pure arithmetic on measured cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from sightline_engines.benchmark.cameras import MOST_CAMERAS, PROMISABLE, Carried, Carrier, carried
from sightline_engines.benchmark.cells import Cell, CellResult
from sightline_engines.benchmark.pareto import pareto_front
from sightline_engines.benchmark.spread import Spread, few_runs

Percentile: TypeAlias = Literal["p50", "p90", "p95", "p99"]
LimitedBy: TypeAlias = Literal["engine", "decode", "postprocess", "memory", "accuracy", "latency"]

_LATE = {"p50": 0.5, "p90": 0.1, "p95": 0.05, "p99": 0.01}  # share of frames that may be late


@dataclass(frozen=True, slots=True)
class Limits:
    """What a configuration must hold to be recommended."""

    latency_limit_ms: float = 100.0  # from JPEG bytes to boxes, and a frame's deadline
    max_accuracy_loss: float = 0.01  # mAP50-95 against the fp32 source
    camera_fps: float = 15.0
    percentile: Percentile = "p95"  # of the latency that must hold
    memory_bytes: int | None = None  # None: as much as it takes


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The best configuration, why, and why not the others."""

    best: Cell | None
    reasons: tuple[str, ...]  # plain sentences with numbers
    batch: int = 0
    instances: int = 0
    limited_by: LimitedBy | None = None  # what keeps it from carrying more; None: nothing ran
    cameras: int = 0
    artefact_id: int | None = None
    accuracy_loss: float | None = None  # of the best; None: not measured
    rejected: tuple[tuple[Cell, str], ...] = ()
    pareto: tuple[Cell, ...] = ()  # fastest first; none is both slower and less accurate

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "best": None if self.best is None else self.best.to_dict(),
            "reasons": list(self.reasons),
            "batch": self.batch,
            "instances": self.instances,
            "limited_by": self.limited_by,
            "cameras": self.cameras,
            "artefact_id": self.artefact_id,
            "accuracy_loss": self.accuracy_loss,
            "rejected": [{"cell": cell.to_dict(), "why": why} for cell, why in self.rejected],
            "pareto": [cell.to_dict() for cell in self.pareto],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recommendation:
        """Read what `to_dict` wrote."""
        values = dict(data)
        values["best"] = None if data["best"] is None else Cell.from_dict(data["best"])
        values["reasons"] = tuple(data["reasons"])
        values["rejected"] = tuple((Cell.from_dict(r["cell"]), r["why"]) for r in data["rejected"])
        values["pareto"] = tuple(map(Cell.from_dict, data["pareto"]))
        return cls(**values)


def recommend(
    results: Sequence[CellResult], limits: Limits, source_map: float | None = None
) -> Recommendation:
    """Return the configuration that carries the most cameras within the limits.

    Of several the one of more throughput, then of less latency. `source_map` is the fp32
    source's mAP50-95; None takes the best that an fp32 cell has.
    """
    if source_map is None:
        source_map = _source_map(results)
    candidates: list[_Candidate] = []
    rejected: list[_Rejected] = []
    for result in results:
        found = _looked_at(result, results, limits, source_map)
        if isinstance(found, _Candidate):
            candidates.append(found)
        else:
            rejected.append(found)
    why_not = tuple((r.result.cell, r.why) for r in rejected)
    pareto = tuple(result.cell for result in pareto_front(results))
    if not candidates:
        limit, reasons = _nothing(rejected, limits)
        return Recommendation(None, reasons, limited_by=limit, rejected=why_not, pareto=pareto)
    best = max(candidates, key=lambda c: (c.cameras, c.fps, -c.latency_ms))
    limit, hint = _bound(best, rejected, limits)
    return Recommendation(
        best.result.cell,
        (*_reasons(best, candidates, limits), hint),
        best.result.cell.batch,
        best.result.cell.instances,
        limit,
        best.cameras,
        best.result.artefact_id,
        best.loss,
        why_not,
        pareto,
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    result: CellResult
    latency_ms: float
    fps: float  # of the whole pipeline
    loss: float | None
    carried: Carried

    @property
    def cameras(self) -> int:
        return self.carried.cameras


@dataclass(frozen=True, slots=True)
class _Rejected:
    result: CellResult
    why: str
    by: LimitedBy | None


def _source_map(results: Sequence[CellResult]) -> float | None:
    known = [r.accuracy.map50_95 for r in results if r.accuracy and r.cell.precision == "fp32"]
    return max(known, default=None)


def _looked_at(
    result: CellResult, results: Sequence[CellResult], limits: Limits, source_map: float | None
) -> _Candidate | _Rejected:
    spread, fps = result.pipeline_ms, result.pipeline_fps
    if result.state != "done" or spread is None or not fps:
        return _Rejected(result, result.error or "It wasn't measured.", None)
    loss = _loss(result, source_map)
    if loss is None and result.cell.precision != "fp32":
        why = "What it loses in accuracy wasn't measured: name a data set, and fp32 beside it."
        return _Rejected(result, why, "accuracy")
    if loss is not None and loss > limits.max_accuracy_loss:
        why = f"It loses {loss:.4f} mAP50-95, more than the {limits.max_accuracy_loss:g} allowed."
        return _Rejected(result, why, "accuracy")
    latency_ms = float(getattr(spread, limits.percentile))
    if latency_ms > limits.latency_limit_ms:
        why = (
            f"Its {limits.percentile} of {latency_ms:.1f} ms is over the limit of "
            f"{limits.latency_limit_ms:g} ms."
        )
        return _Rejected(result, why, "latency")
    memory = result.gpu_memory_bytes or result.memory_bytes
    if limits.memory_bytes is not None and memory is not None and memory > limits.memory_bytes:
        why = f"It takes {memory / 2**20:.0f} MiB of {limits.memory_bytes / 2**20:.0f} allowed."
        return _Rejected(result, why, "memory")
    carrier = Carrier(_runs(result, results), result.cell.instances, fps)
    late_allowed = _LATE[limits.percentile]
    many = carried(carrier, limits.camera_fps, limits.latency_limit_ms, late_allowed)
    return _Candidate(result, latency_ms, fps, loss, many)


def _runs(result: CellResult, results: Sequence[CellResult]) -> dict[int, Spread]:
    """Return how long runs of a cell's batch and of the smaller ones take, where measured."""
    runs: dict[int, Spread] = {}
    for one in (*results, result):  # itself last: it counts if it was measured twice
        alike = replace(one.cell, batch=result.cell.batch) == result.cell
        same = alike and one.artefact_id == result.artefact_id
        if same and one.state == "done" and one.pipeline_ms and one.cell.batch <= result.cell.batch:
            runs[one.cell.batch] = one.pipeline_ms
    return runs


def _loss(result: CellResult, source_map: float | None) -> float | None:
    """Return the mAP50-95 lost, below 0 for a gain; None: not known."""
    if result.accuracy is None or source_map is None:
        return None
    return round(source_map - result.accuracy.map50_95, 6)


def _reasons(best: _Candidate, candidates: Sequence[_Candidate], limits: Limits) -> tuple[str, ...]:
    cell = best.result.cell
    said = [
        f"{cell} makes {best.fps:.1f} pictures a second from JPEG to boxes, with a "
        f"{limits.percentile} of {best.latency_ms:.1f} ms under the limit of "
        f"{limits.latency_limit_ms:g} ms.",
        _accuracy_reason(best, limits),
        _cameras_reason(best, limits),
    ]
    few = few_runs(best.result.pipeline_ms, limits.percentile)
    if few:
        said.append(f"Rely on it with care: {few}")
    others = [c for c in candidates if c is not best]
    if others:
        next_best = max(others, key=lambda c: (c.cameras, c.fps, -c.latency_ms))
        said.append(
            f"The next best within the limits is {next_best.result.cell}: "
            f"{_cameras(next_best.cameras)}, {next_best.fps:.1f} pictures a second, "
            f"{limits.percentile} {next_best.latency_ms:.1f} ms."
        )
    return tuple(said)


def _cameras_reason(best: _Candidate, limits: Limits) -> str:
    at, many = f"at {limits.camera_fps:g} fps", best.carried
    if many.late_with_more is not None:
        allowed = _LATE[limits.percentile]
        return (
            f"In a simulation of cameras {at} that share it, {many.late:.1%} of the frames of "
            f"{_cameras(many.cameras)} are late and {many.late_with_more:.1%} of those of "
            f"{many.cameras + 1}; {allowed:.0%} may be."
        )
    if many.cameras == MOST_CAMERAS:
        return f"It carries {many.cameras} cameras {at}; more aren't counted."
    return (
        f"{PROMISABLE:.0%} of that carries {_cameras(many.cameras)} {at}; the server promises "
        "no more."
    )


def _cameras(count: int) -> str:
    return f"{count} camera{'' if count == 1 else 's'}"


def _accuracy_reason(best: _Candidate, limits: Limits) -> str:
    accuracy = best.result.accuracy
    if best.loss is None or accuracy is None:
        return "It is the fp32 source itself; its accuracy wasn't measured."
    on = f"on {accuracy.pictures} picture{'' if accuracy.pictures == 1 else 's'}"
    if best.loss <= 0:
        return f"It loses no accuracy against the fp32 source, {on}."
    return (
        f"It loses {best.loss:.4f} mAP50-95 against the fp32 source, {on}; "
        f"{limits.max_accuracy_loss:g} is allowed."
    )


def _bound(
    best: _Candidate, rejected: Sequence[_Rejected], limits: Limits
) -> tuple[LimitedBy, str]:
    """Return what keeps the machine from carrying more cameras, and a sentence that says so."""
    faster = [r for r in rejected if r.by is not None and (r.result.pipeline_fps or 0.0) > best.fps]
    if faster:
        top = max(faster, key=lambda r: r.result.pipeline_fps or 0.0)
        if top.by is not None:
            return top.by, (
                f"Limited by {top.by}: {top.result.cell} would make "
                f"{top.result.pipeline_fps:.1f} pictures a second, but: {top.why}"
            )
    if best.carried.late_with_more is not None:
        return "latency", (
            f"Limited by latency: a frame that comes during a run of {best.latency_ms:.1f} ms "
            "waits for its end and then runs itself, in "
            f"{limits.latency_limit_ms:g} ms altogether."
        )
    result = best.result
    parts: dict[LimitedBy, float] = {
        "engine": result.infer_ms or 0.0,
        "decode": (result.decode_ms or 0.0) + (result.preprocess_ms or 0.0),
        "postprocess": result.postprocess_ms or 0.0,
    }
    limit = max(parts, key=lambda name: parts[name])
    whole = sum(parts.values()) or 1.0
    what = {"decode": "decoding and resizing take", "postprocess": "reading the boxes takes"}
    return limit, (
        f"Limited by {limit}: {what.get(limit, 'the engine takes')} "
        f"{parts[limit] / whole:.0%} of the time of a picture."
    )


def _nothing(
    rejected: Sequence[_Rejected], limits: Limits
) -> tuple[LimitedBy | None, tuple[str, ...]]:
    """Return what stood in the way of most cells, and what to do about it."""
    counts = [r.by for r in rejected if r.by is not None]
    if not counts:
        why = "No cell could be measured." if rejected else "There is nothing to choose from."
        return None, (why,)
    limit = max(dict.fromkeys(counts), key=counts.count)
    least = {
        "latency": f"more than {limits.latency_limit_ms:g} ms, a smaller input or batch",
        "accuracy": f"a loss of more than {limits.max_accuracy_loss:g}, or a higher precision",
        "memory": "more memory, a smaller batch or fewer instances",
    }
    advice = f" Allow {least[limit]}." if limit in least else ""
    return limit, (f"None of {len(rejected)} configurations keeps the limits.{advice}",)
