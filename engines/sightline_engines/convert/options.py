"""What a conversion is asked for, and what it gives."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sightline_engines.types import Format, ModelSpec

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """What to make of a model."""

    format: Format
    precision: Precision = "fp32"
    input_size_wh: tuple[int, int] | None = None  # None: the source's
    max_batch: int = 8  # of a TensorRT plan's profile
    opset: int = 17  # of an ONNX file made from PyTorch
    calibration_pictures: int = 200  # most that an INT8 conversion looks at
    workspace_bytes: int = 4 * 2**30  # that TensorRT's builder may take on the GPU
    symmetric: bool = False  # INT8 ONNX with no zero points, as TensorRT wants it
    timing_cache: Path | None = None  # of TensorRT's builder; read and written


@dataclass(frozen=True, slots=True)
class Parity:
    """How a made artefact's boxes compare with its source's, on the same pictures.

    A box agrees if the other model has one of the same class with an IoU of 0.9 (INT8: 0.75)
    at least. Of boxes that score just around the threshold none is missed. What `least_agreeing`
    is depends on how many boxes there are; `parity.check_parity` says how.
    """

    pictures: int
    boxes: int  # of the source, at its own threshold
    agreeing: float  # share of both models' boxes that agree, 0..1; 1 if there are none
    mean_iou: float  # of the boxes that agree
    score_error: float  # mean difference of their scores
    least_agreeing: float  # below which the conversion fails

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Converted:
    """A new artefact, in the folder that it was made in."""

    spec: ModelSpec  # `path` is the new file; model.bin lies beside a model.xml
    parity: Parity | None  # None: there is nothing to compare with, the source being a checkpoint
    notes: tuple[str, ...] = ()
