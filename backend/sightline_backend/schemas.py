"""The shapes of requests and answers, for validation and for /docs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field

from sightline_backend.formats import Format


class DetectFields(BaseModel):
    """What a call of /detect may ask for."""

    model_config = ConfigDict(extra="forbid")

    conf: float | None = Field(
        None, ge=0, le=1, description="Least score of a detection; default: the model's."
    )
    iou: float | None = Field(
        None, ge=0, le=1, description="Overlap above which boxes of a class are one."
    )
    classes: list[str] = Field(
        [], max_length=100, description="Names or ids, repeated or comma separated; none: all."
    )
    max_detections: int | None = Field(None, ge=1, le=1000, description="Most detections.")
    model: str | None = Field(None, description="A name from /api/models; default: the server's.")
    format: Format = Field(
        "json",
        description="json; csv; image: a JPEG with the boxes drawn; roboflow: as "
        "supervision.Detections.from_inference reads it.",
    )


class DetectForm(DetectFields):
    """The multipart form of /detect; its fields outweigh those of the address."""

    file: Annotated[UploadFile, Field(description="A JPEG, PNG, WebP or BMP picture.")]


class Served(BaseModel):
    """What answered."""

    name: str
    version: str
    engine: str = Field(examples=["openvino"])
    precision: str = Field(examples=["fp32"])
    device: str = Field(examples=["CPU"])
    fallback: str | None = Field(description="Why not a better engine; null: first choice.")


class Size(BaseModel):
    """A picture's size in pixels, as it is meant to be seen."""

    width: int
    height: int


class Detection(BaseModel):
    """One box, in pixels of the picture."""

    xyxy: tuple[float, float, float, float]
    score: float
    class_id: int
    class_name: str


class StageTimings(BaseModel):
    """Milliseconds; total runs from the picture's arrival to its answer."""

    decode: float
    queue: float
    preprocess: float
    infer: float
    postprocess: float
    total: float


class DetectAnswer(BaseModel):
    """The answer of /detect?format=json."""

    model: Served
    image: Size
    detections: list[Detection]
    timings_ms: StageTimings


class DeployedClass(BaseModel):
    """What a classifier says of a picture."""

    class_id: int
    class_name: str
    score: float


class PredictAnswer(BaseModel):
    """The answer of /predict, as the deployed model gives it: detections or classes."""

    model: str
    deployment: int
    sha256: str = Field(description="Of the model's file.")
    width: int
    height: int
    detections: list[Detection] | None = None
    classes: list[DeployedClass] | None = None
    timings_ms: dict[str, float]


class ErrorDetail(BaseModel):
    """A stable code, and what was found and how to fix it."""

    code: str = Field(examples=["unsupported_format"])
    message: str


class ErrorAnswer(BaseModel):
    """The body of every error."""

    error: ErrorDetail


class TritonHealth(BaseModel):
    """The connection to Triton, as it was seen last."""

    url: str
    live: bool
    ready: bool
    models: dict[str, str] = Field(description="State by name, of what is or was loaded.")


class Health(BaseModel):
    """How the server is; `status` says it in a word."""

    status: Literal["ready", "recovering", "stopping"]
    live: bool
    ready: bool
    version: str
    model: str
    engine: str
    precision: str
    device: str
    fallback: str | None
    streams: int
    trouble: str | None = Field(description="Why no new work is taken; null while it is.")
    triton: TritonHealth | None = Field(description="Null: none is configured.")


class Thresholds(BaseModel):
    """What is used when a caller names nothing else."""

    conf: float
    iou: float
    max_detections: int


class ModelAnswer(BaseModel):
    """One model of /api/models."""

    name: str
    version: str
    family: str
    precision: str
    labels: list[str]
    input_size_wh: tuple[int, int]
    defaults: Thresholds
    licence: str
    source: str
    loaded: bool
    default: bool


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in {
        403: "The page that sent this may not use the server.",
        404: "There is no such model.",
        408: "The upload took too long to arrive.",
        413: "Too many bytes or pixels.",
        415: "Not a JPEG, PNG, WebP or BMP.",
        422: "A damaged picture, an unknown class, or a value out of range.",
        503: "Busy; Retry-After says when to try again.",
    }.items()
}
