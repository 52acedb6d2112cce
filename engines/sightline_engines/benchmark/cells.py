"""What a benchmark measures: cells of a matrix, and what was found in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self, TypeAlias

from sightline_engines.benchmark.spread import Spread

__all__ = ["Accuracy", "Cell", "CellResult", "ClassAccuracy", "Spread", "State"]

State: TypeAlias = Literal["done", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One configuration of the matrix."""

    engine: str  # "onnxruntime", "openvino", "tensorrt"
    precision: str  # "fp32", "fp16", "int8"
    batch: int  # pictures an engine call
    input_size_wh: tuple[int, int]
    instances: int = 1  # processes that run side by side
    device: str = "cpu"

    def __str__(self) -> str:
        width, height = self.input_size_wh
        several = f", {self.instances} instances" if self.instances > 1 else ""
        return (
            f"{self.engine} {self.precision}, batch {self.batch}, {width}x{height}{several}, "
            f"{self.device}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(self), "input_size_wh": list(self.input_size_wh)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        width, height = data["input_size_wh"]
        values = {name.name: data[name.name] for name in fields(cls) if name.name in data}
        return cls(**{**values, "input_size_wh": (int(width), int(height))})


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """Average precision of one class; None: the pictures hold none of it."""

    ap50: float | None
    ap50_95: float | None
    boxes: int  # that were to be found


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What pycocotools says of a model on a data set."""

    map50: float
    map50_95: float
    per_class: Mapping[str, ClassAccuracy]  # by the data set's names
    pictures: int
    dataset: str
    dataset_sha256: str
    conf: float = 0.001
    iou: float = 0.65  # of the non-maximum suppression
    max_detections: int = 100
    left_out: tuple[str, ...] = ()  # classes of the data set that the model doesn't know
    missing: int = 0  # pictures that the data set names and doesn't hold

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(self), "left_out": list(self.left_out)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        values = {name.name: data[name.name] for name in fields(cls) if name.name in data}
        classes = {name: ClassAccuracy(**row) for name, row in data["per_class"].items()}
        left_out = tuple(data.get("left_out", ()))
        return cls(**{**values, "per_class": classes, "left_out": left_out})


@dataclass(frozen=True, slots=True)
class CellResult:
    """What was measured in one cell; nothing but `cell`, `state` and `error` unless it is done.

    Times are of one batch. The engine alone is `engine.infer` on a ready tensor; the pipeline
    begins with JPEG bytes and ends with boxes. Rates are pictures a second of all instances.
    """

    cell: Cell
    state: State
    error: str | None = None  # why it failed or was skipped
    artefact_id: int | None = None
    engine_ms: Spread | None = None
    pipeline_ms: Spread | None = None
    engine_fps: float | None = None
    pipeline_fps: float | None = None
    decode_ms: float | None = None  # means of one batch, parts of the pipeline's time
    preprocess_ms: float | None = None
    infer_ms: float | None = None
    postprocess_ms: float | None = None
    load_s: float | None = None  # until the engine had run once
    cpu_share: float | None = None  # processors kept busy by all instances, in cores
    memory_bytes: int | None = None  # most that all instances held together
    gpu_share: float | None = None  # 0..1
    gpu_memory_bytes: int | None = None
    power_watts: float | None = None
    disturbed: float | None = None  # share of the time that it waited for a processor, 0..1
    accuracy: Accuracy | None = None
    notes: tuple[str, ...] = field(default=())
    seconds: float = 0.0  # that the cell took in all

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        nested = {
            name: None if value is None else value.to_dict()
            for name in _NESTED
            for value in [getattr(self, name)]
        }
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in nested}
        return {**plain, **nested, "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        values = {name.name: data[name.name] for name in fields(cls) if name.name in data}
        for name, kind in _NESTED.items():
            if values.get(name) is not None:
                values[name] = kind.from_dict(values[name])
        return cls(**{**values, "notes": tuple(data.get("notes", ()))})


_NESTED: dict[str, type[Cell] | type[Spread] | type[Accuracy]] = {
    "cell": Cell,
    "engine_ms": Spread,
    "pipeline_ms": Spread,
    "accuracy": Accuracy,
}
