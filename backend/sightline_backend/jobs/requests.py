"""What a job is asked for: the bodies of the calls that start one, kept with it as JSON."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt

from sightline_engines.convert.options import Precision

Kind: TypeAlias = Literal["convert", "validate", "benchmark", "pipeline"]
MeasuredEngine: TypeAlias = Literal["onnxruntime", "openvino", "tensorrt"]

MOST_CELLS = 512  # of one benchmark


def _once_each(values: list[int | str]) -> list[int | str]:
    return list(dict.fromkeys(values))


Batch = Annotated[int, Field(ge=1, le=128)]
Side = Annotated[int, Field(ge=32, le=4096)]
Name = Annotated[str, Field(min_length=1, max_length=4096)]
Engines = Annotated[
    list[MeasuredEngine],
    Field(min_length=1, max_length=8, description="What runs the model, such as openvino."),
    AfterValidator(_once_each),
]
Precisions = Annotated[
    list[Precision],
    Field(min_length=1, max_length=8, description="fp32, fp16 and int8, in any choice."),
    AfterValidator(_once_each),
]
Batches = Annotated[
    list[Batch],
    Field(min_length=1, max_length=16, description="Pictures an engine call, each measured."),
    AfterValidator(_once_each),
]
Instances = Annotated[
    list[Annotated[int, Field(ge=1, le=16)]],
    Field(min_length=1, max_length=8, description="Engines side by side, each measured."),
    AfterValidator(_once_each),
]
ModelName = Annotated[Name, Field(description="A model's name.")]
VersionNumber = Annotated[
    PositiveInt | None, Field(description="Of the model; unset: the one that serves.")
]
DatasetName = Annotated[
    Name, Field(description="A data set's name; dir:NAME is one below SIGHTLINE_DATA_DIR.")
]
MostPictures = Annotated[
    PositiveInt | None, Field(description="Pictures that accuracy is measured on; unset: all.")
]
Seconds = Annotated[float, Field(gt=0, le=600, description="Time each cell is measured for, s.")]
Device = Annotated[
    str | None, Field(max_length=16, description="cpu, cuda or cuda:1; unset: the engine's own.")
]

Labels = Annotated[
    list[Annotated[str, Field(max_length=200)]] | None,
    Field(max_length=10_000, description="Class names, for a .pt that has none."),
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConvertRequest(_Request):
    """Make an artefact of another format or precision."""

    model: ModelName
    version: VersionNumber = None
    artefact_id: PositiveInt | None = Field(
        default=None, description="What to make it from; unset: the version's ONNX, else its .pt."
    )
    format: Literal["onnx", "openvino", "tensorrt"]
    precision: Precision = "fp32"
    input_size_wh: tuple[Side, Side] | None = Field(
        default=None, description="Width and height, pixels; unset: the source's."
    )
    max_batch: Batch = Field(default=8, description="Most pictures a call of a TensorRT plan.")
    dataset: DatasetName | None = Field(
        default=None,
        description="Pictures for INT8 and for the comparison with the source; unset: some that "
        "come with Sightline.",
    )
    calibration_pictures: int = Field(
        default=200, ge=1, le=5000, description="Most pictures that an INT8 conversion looks at."
    )
    opset: int = Field(default=17, ge=13, le=21, description="Of an ONNX file made from a .pt.")
    labels: Labels = None


class ValidateRequest(_Request):
    """Measure an artefact's accuracy."""

    artefact_id: PositiveInt
    engine: Literal["auto", "onnxruntime", "openvino", "tensorrt"] = "auto"
    dataset: DatasetName
    most_pictures: MostPictures = None
    device: Device = None


class BenchmarkRequest(_Request):
    """Measure engine x precision x batch x input size x instances of a model."""

    model: ModelName
    version: VersionNumber = None
    artefact_id: PositiveInt | None = Field(
        default=None, description="This artefact alone, whatever `precisions` names."
    )
    engines: Engines
    precisions: Precisions
    batches: Batches = Field(default=[1])
    input_sizes: list[tuple[Side, Side]] = Field(
        default=[], max_length=8, description="Widths and heights; none: the model's own."
    )
    instances: Instances = Field(default=[1])
    dataset: DatasetName | None = None
    most_pictures: MostPictures = None
    accuracy: bool = Field(
        default=True, description="Measure accuracy as well as speed, if there is a data set."
    )
    seconds: Seconds = 5.0
    warmup_s: float = Field(default=1.0, ge=0, le=60, description="Not counted, before each cell.")
    device: Device = None

    @property
    def cells(self) -> int:
        """How many cells the matrix has."""
        sizes = max(1, len(self.input_sizes))
        combinations = len(self.engines) * len(self.precisions) * len(self.batches)
        return combinations * sizes * len(self.instances)


class PipelineRequest(_Request):
    """Convert, validate, measure and recommend, in one tree of jobs."""

    model: ModelName
    version: VersionNumber = None
    input_size_wh: tuple[Side, Side] | None = Field(
        default=None, description="Width and height, pixels, for a .pt that doesn't say it."
    )
    labels: Labels = None
    engines: Engines
    precisions: Precisions
    batches: Batches = Field(default=[1])
    instances: Instances = Field(default=[1])
    dataset: DatasetName | None = None
    most_pictures: MostPictures = None
    seconds: Seconds = 5.0
    latency_limit_ms: float = Field(
        default=100.0, gt=0, le=60_000, description="From JPEG to boxes, of 95 in 100 frames."
    )
    max_accuracy_loss: float = Field(
        default=0.01, ge=0, le=1, description="mAP50-95 that may be lost against the fp32 source."
    )
    camera_fps: float = Field(
        default=15.0, ge=0.01, le=240, description="Frames a camera sends a second."
    )
    device: Device = None


JobRequest: TypeAlias = ConvertRequest | ValidateRequest | BenchmarkRequest | PipelineRequest

_REQUESTS: dict[Kind, type[JobRequest]] = {
    "convert": ConvertRequest,
    "validate": ValidateRequest,
    "benchmark": BenchmarkRequest,
    "pipeline": PipelineRequest,
}


def read_request(kind: Kind, values: object) -> JobRequest:
    """Return a stored request; raises pydantic's ValidationError."""
    return _REQUESTS[kind].model_validate(values)
