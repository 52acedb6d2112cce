"""What a TensorRT plan was built for: it runs there and nowhere else."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Passport:
    """Where and from what a plan was built; a difference in any field but the shapes bars it."""

    gpu: str  # as the driver names it
    compute_capability: str  # "9.0"
    tensorrt: str  # "11.4.0.106"
    driver: str  # "580.65.06"
    source_sha256: str  # of the ONNX file that it was built from
    plan_sha256: str
    min_batch: int
    opt_batch: int
    max_batch: int
    input_size_wh: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        values = {field.name: data[field.name] for field in fields(cls)}
        width, height = values["input_size_wh"]
        return cls(**{**values, "input_size_wh": (int(width), int(height))})
