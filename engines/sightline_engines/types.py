"""The types that a frame flows through, from camera to drawn box.

Arrays keep one convention everywhere: pictures are (H, W, 3) uint8 BGR; boxes are
`xyxy` in pixels of the source picture, origin top left; sizes are (width, height).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sightline_engines.passport import Passport

Image: TypeAlias = NDArray[np.uint8]  # (H, W, 3) BGR
Tensor: TypeAlias = NDArray[np.uint8]  # (N, h, w, 3) BGR, letterboxed; engines normalise
RawOutput: TypeAlias = tuple[NDArray[np.float32], ...]  # as the model returns it, first axis N


class Format(StrEnum):
    """What a model file is; its suffix says it."""

    TORCH = "pt"  # a pickle: converted, never run
    ONNX = "onnx"
    OPENVINO = "openvino"  # model.xml with its weights in model.bin beside it
    TENSORRT = "tensorrt"  # a plan: runs only where it was built


_SUFFIXES = {
    ".pt": Format.TORCH,
    ".pth": Format.TORCH,
    ".onnx": Format.ONNX,
    ".xml": Format.OPENVINO,
    ".plan": Format.TENSORRT,
}


def format_of(path: Path) -> Format | None:
    """Return what a file's name says it is, None for a name that says nothing."""
    return _SUFFIXES.get(path.suffix.lower())


class Family(StrEnum):
    """How a detector's raw output is laid out."""

    YOLOX = "yolox"  # (N, A, 5+C): raw grid offsets, objectness, class scores
    YOLOV5 = "yolov5"  # (N, A, 5+C): xywh in input pixels, objectness, class scores
    YOLOV8 = "yolov8"  # (N, 4+C, A): xywh in input pixels, class scores
    END2END = "end2end"  # (N, K, 6): xyxy in input pixels, score, class; no NMS needed


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of one stream, on its way to the detector."""

    stream: str
    seq: int
    captured_us: int  # the sender's clock; only echoed
    image: Image


@dataclass(frozen=True, slots=True)
class Letterbox:
    """What maps boxes from the network's input back to the source picture.

    input = source * (scale_x, scale_y) + (pad_x, pad_y). The two scales differ by the
    rounding of the resized picture to whole pixels.
    """

    scale_x: float
    scale_y: float
    pad_x: int
    pad_y: int
    width: int  # of the source picture
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Pictures made ready for one engine call."""

    tensor: Tensor
    letterboxes: tuple[Letterbox, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Parallel arrays of one length n, best score first."""

    xyxy: NDArray[np.float32]  # (n, 4) source pixels
    score: NDArray[np.float32]  # (n,) in 0..1
    class_id: NDArray[np.int32]  # (n,)
    track_id: NDArray[np.int32] | None = None  # (n,)

    def __post_init__(self) -> None:
        n = len(self.xyxy)
        if self.xyxy.shape != (n, 4):
            raise ValueError(f"xyxy must be (n, 4), got {self.xyxy.shape}")
        for name in ("score", "class_id", "track_id"):
            array = getattr(self, name)
            if array is not None and array.shape != (n,):
                raise ValueError(f"{name} must be ({n},), got {array.shape}")

    @classmethod
    def empty(cls) -> Self:
        """Return no detections."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, index: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Detections:
        track_id = None if self.track_id is None else self.track_id[index]
        return Detections(self.xyxy[index], self.score[index], self.class_id[index], track_id)

    def to_dicts(self, labels: tuple[str, ...]) -> list[dict[str, Any]]:
        """Return one JSON-ready object a detection; pixels to 0.01, scores to 0.0001."""
        boxes = self.xyxy.astype(np.float64).round(2).tolist()
        scores = self.score.astype(np.float64).round(4).tolist()
        rows = [
            {
                "xyxy": box,
                "score": score,
                "class_id": class_id,
                "class_name": labels[class_id] if class_id < len(labels) else str(class_id),
            }
            for box, score, class_id in zip(boxes, scores, self.class_id.tolist(), strict=True)
        ]
        if self.track_id is not None:
            for row, track_id in zip(rows, self.track_id.tolist(), strict=True):
                row["track_id"] = track_id
        return rows

    @classmethod
    def from_dicts(cls, rows: list[dict[str, Any]]) -> Self:
        """Read what `to_dicts` wrote."""
        if not rows:
            return cls.empty()
        tracked = "track_id" in rows[0]
        return cls(
            np.array([r["xyxy"] for r in rows], np.float32),
            np.array([r["score"] for r in rows], np.float32),
            np.array([r["class_id"] for r in rows], np.int32),
            np.array([r["track_id"] for r in rows], np.int32) if tracked else None,
        )

    def to_supervision(self, labels: tuple[str, ...]) -> Any:
        """Return `supervision.Detections` (that package must be installed)."""
        import supervision as sv

        names = np.array([labels[c] if c < len(labels) else str(c) for c in self.class_id])
        return sv.Detections(
            xyxy=self.xyxy,
            confidence=self.score,
            class_id=self.class_id.astype(int),
            tracker_id=None if self.track_id is None else self.track_id.astype(int),
            data={"class_name": names},
        )


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a frame's time went, in milliseconds; infer is its batch's whole run."""

    decode: float = 0.0
    queue: float = 0.0
    preprocess: float = 0.0
    infer: float = 0.0
    postprocess: float = 0.0
    total: float = 0.0  # from the bytes' arrival to the answer


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What answered: shown wherever a result is shown."""

    name: str
    version: str
    engine: str  # "openvino", "onnxruntime", …
    precision: str  # "fp32", "fp16", "int8"
    device: str  # "CPU", "CUDA:0", …
    fallback: str | None = None  # why this engine and not a better one; None: first choice


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The answer to one frame."""

    seq: int
    captured_us: int
    size_wh: tuple[int, int]
    detections: Detections
    timings: Timings
    model: ServedModel
    batch_size: int = 1
    traced: bool = False  # the server sent a trace of this frame (docs/tracing.md)


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How the family was trained to see a picture."""

    color: Literal["bgr", "rgb"] = "rgb"
    scale: float = 1 / 255  # multiplies 0..255
    letterbox: Literal["centre", "topleft"] = "centre"
    pad: int = 114  # grey level around the picture


@dataclass(frozen=True, slots=True)
class Postprocess:
    """Thresholds used when a caller names none."""

    conf: float = 0.25
    iou: float = 0.45
    max_detections: int = 300


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything needed to run a model file; written beside it as a sidecar.

    The normalisation of `preprocess` is put in front of ONNX and OpenVINO files when they load;
    a TensorRT plan has it inside: its input is uint8 (N, h, w, 3) BGR.
    """

    name: str
    path: Path
    family: Family
    input_size_wh: tuple[int, int]
    labels: tuple[str, ...]
    version: str = "1"
    task: Literal["detect"] = "detect"
    precision: str = "fp32"
    static_batch: int | None = None  # None: any batch size
    preprocess: Preprocess = field(default_factory=Preprocess)
    postprocess: Postprocess = field(default_factory=Postprocess)
    licence: str = "unknown"
    source: str = ""
    sha256: str = ""
    notes: tuple[str, ...] = ()  # what the file didn't say and was assumed, for a person to read
    engine: str = ""  # what it was promoted to run on; empty: what the server is set to
    passport: Passport | None = None  # of a TensorRT plan

    @property
    def format(self) -> Format:
        """What kind of file it is; ONNX where the name doesn't say."""
        return format_of(self.path) or Format.ONNX


class Engine(Protocol):
    """Runs one model; one implementation a runtime, no inheritance between them.

    `infer` may be called from one thread at a time.
    """

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def served(self) -> ServedModel: ...

    def infer(self, tensor: Tensor) -> RawOutput:
        """Run a batch of 1..n pictures; raises EngineError when the runtime fails."""
        ...

    def close(self) -> None: ...
