"""What a benchmark measured, as the pages show it: cells, runs, a recommendation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

Percentile: TypeAlias = Literal["mean", "p50", "p90", "p95", "p99"]
Part: TypeAlias = Literal["pipeline", "engine"]

DISTURBED_SHARE = 0.05  # of the time that a cell waited for a processor; above it is marked


@dataclass(frozen=True, slots=True)
class Cell:
    """One configuration."""

    engine: str
    precision: str
    batch: int
    input_size_wh: tuple[int, int]
    instances: int
    device: str

    @property
    def title(self) -> str:
        """What people call it."""
        width, height = self.input_size_wh
        several = f" · {self.instances} instances" if self.instances > 1 else ""
        return (
            f"{self.engine} {self.precision} · batch {self.batch}"
            f"{f' · {width}x{height}' if width else ''}{several}"
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a cell; what is missing is left empty."""
        width, height = data.get("input_size_wh") or (0, 0)
        return cls(
            engine=str(data.get("engine") or ""),
            precision=str(data.get("precision") or ""),
            batch=int(data.get("batch") or 1),
            input_size_wh=(int(width), int(height)),
            instances=int(data.get("instances") or 1),
            device=str(data.get("device") or ""),
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured in one cell, as the detector wrote it."""

    cell: Cell
    state: str  # done, failed, skipped
    error: str | None
    artefact_id: int | None
    figures: Mapping[str, Any]

    @property
    def accuracy(self) -> Mapping[str, Any] | None:
        """What pycocotools says, if it was asked."""
        return self.figures.get("accuracy") or None

    @property
    def map50_95(self) -> float | None:
        """The accuracy in one number, 0..1."""
        return None if self.accuracy is None else _number(self.accuracy.get("map50_95"))

    @property
    def map50(self) -> float | None:
        """The same, where a box need only half fit."""
        return None if self.accuracy is None else _number(self.accuracy.get("map50"))

    @property
    def disturbed(self) -> float | None:
        """The share of its time that it waited for a processor, if that is worth a word."""
        share = self.number("disturbed")
        return share if share is not None and share > DISTURBED_SHARE else None

    def number(self, name: str) -> float | None:
        """Return a figure by its name, None if it wasn't measured."""
        return _number(self.figures.get(name))

    def rate(self, part: Part = "pipeline") -> float | None:
        """Return pictures a second."""
        return self.number(f"{part}_fps")

    def spread(self, part: Part = "pipeline") -> Mapping[str, Any] | None:
        """Return how the times of single batches are spread, in ms."""
        return self.figures.get(f"{part}_ms") or None

    def latency(self, percentile: Percentile = "p95", part: Part = "pipeline") -> float | None:
        """Return the time of one batch, in ms."""
        spread = self.spread(part)
        return None if spread is None else _number(spread.get(percentile))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a cell's result."""
        artefact_id = data.get("artefact_id")
        return cls(
            cell=Cell.from_dict(data.get("cell") or {}),
            state=str(data.get("state") or "done"),
            error=data.get("error"),
            artefact_id=None if artefact_id is None else int(artefact_id),
            figures=data,
        )


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Which configuration to take, and why."""

    best: Cell | None
    reasons: Sequence[str]
    limited_by: str | None
    cameras: int
    artefact_id: int | None
    accuracy_loss: float | None
    rejected: Sequence[tuple[Cell, str]]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what the detector recommends."""
        best, loss, artefact_id = (data.get(n) for n in ("best", "accuracy_loss", "artefact_id"))
        return cls(
            best=None if best is None else Cell.from_dict(best),
            reasons=tuple(str(reason) for reason in data.get("reasons", ())),
            limited_by=data.get("limited_by"),
            cameras=int(data.get("cameras") or 0),
            artefact_id=None if artefact_id is None else int(artefact_id),
            accuracy_loss=None if loss is None else float(loss),
            rejected=tuple(
                (Cell.from_dict(one["cell"]), str(one["why"])) for one in data.get("rejected", ())
            ),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A benchmark that has cells to show."""

    job_id: int
    title: str
    model: str
    state: str
    created_at: str
    results: Sequence[Result]
    host: Mapping[str, Any]
    request: Mapping[str, Any]

    @property
    def done(self) -> tuple[Result, ...]:
        """The cells that have figures."""
        return tuple(one for one in self.results if one.state == "done")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read one entry of `/api/benchmark/runs`."""
        result = data.get("result") or data
        request = data.get("request") or {}
        return cls(
            job_id=int(data["job_id"] if "job_id" in data else data["id"]),
            title=str(data.get("title") or ""),
            model=str(data.get("model") or request.get("model") or ""),
            state=str(data.get("state") or "done"),
            created_at=str(data.get("created_at") or ""),
            results=tuple(Result.from_dict(one) for one in result.get("cells") or ()),
            host=result.get("host") or {},
            request=request,
        )


_FOLDER = "dir:"  # begins the name of one that lies in the detector's data folder


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled pictures by their name."""

    name: str
    about: Mapping[str, Any]

    @property
    def usable(self) -> bool:
        """Tell whether the detector can read it."""
        return not self.about.get("problem")

    @property
    def words(self) -> str:
        """Its name and what is in it."""
        name = self.name.removeprefix(_FOLDER)
        place = " from the data folder" if name != self.name else ""
        pictures, boxes = self.about.get("pictures"), self.about.get("boxes")
        if pictures is None:
            return name + place
        return f"{name}{place} ({pictures} pictures, {boxes} boxes)"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read one entry of `/api/datasets`."""
        return cls(str(data["name"]), data.get("about") or {})


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)
