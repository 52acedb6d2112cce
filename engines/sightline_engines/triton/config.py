"""What Triton is told of a model: its config.pbtxt, made through Triton's own protobuf type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, TypeAlias

from sightline_engines.errors import ProviderError
from sightline_engines.triton.config_checks import MOST_BATCH, problem

Platform: TypeAlias = Literal["onnxruntime", "tensorrt_plan"]
Accelerator: TypeAlias = Literal["", "tensorrt", "openvino"]
Versions: TypeAlias = int | tuple[int, ...] | Literal["all"]

_FILES = {"onnxruntime": "model.onnx", "tensorrt_plan": "model.plan"}


@dataclass(frozen=True, slots=True)
class TritonConfig:
    """How Triton is to run a model; ValueError says which value doesn't fit and what would."""

    platform: Platform = "onnxruntime"
    instance_count: int = 1  # on each GPU, or on the CPU
    preferred_batch_sizes: tuple[int, ...] = ()  # (): as many as wait
    max_queue_delay_us: int = 0  # 0: a batch leaves as soon as an instance is free
    gpus: tuple[int, ...] | None = None  # None: as Triton chooses; (): the CPU
    accelerator: Accelerator = ""  # inside ONNX Runtime
    accelerator_precision: str = "fp32"
    accelerator_workspace_bytes: int = 2**30  # of GPU memory, while TensorRT chooses kernels
    max_queue_size: int | None = None  # requests that may wait; more are refused. None: any number
    queue_timeout_us: int | None = None  # what waits longer is refused. None: waits
    priority_levels: int = 0  # 0: none; 1 goes first, what names none is in the middle
    versions: Versions = 1  # the newest so many, those named, or all
    warmup: bool = True
    response_cache: bool = False  # of the network; the server must be started with --cache-config
    dynamic_batching: bool = True
    step_instances: int = 1  # processes of each Python step around the model

    def __post_init__(self) -> None:
        said = problem(self)
        if said:
            raise ValueError(f"{said}.")

    @property
    def model_file(self) -> str:
        """What the artefact is called in a version's folder."""
        return _FILES[self.platform]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        values = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote, or a part of it; raises ValueError."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(str(name) for name in data if name not in known)
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)[:200]} is no setting of a deployment; "
                f"known are {', '.join(known)}."
            )
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
        }
        return cls(**values)

    @classmethod
    def read_back(cls, data: Mapping[str, Any]) -> Self:
        """Read what another version's `to_dict` wrote: what this one doesn't take is left out."""
        taken: dict[str, Any] = {}
        for name in (field.name for field in fields(cls) if field.name in data):
            with suppress(ValueError):
                cls.from_dict(taken | {name: data[name]})
                taken[name] = data[name]
        return cls.from_dict(taken)


@dataclass(frozen=True, slots=True)
class ConfigTensor:
    """An input or output as its config names it; dims without the batch, -1 for any size."""

    name: str
    datatype: str  # as in Triton's protocol: "FP32", "UINT8", "BYTES"
    dims: tuple[int, ...]
    labels_file: str = ""  # of an output: a file in the model's folder with a label a line


def model_config(  # noqa: PLR0913  what a config consists of
    name: str,
    inputs: Sequence[ConfigTensor],
    outputs: Sequence[ConfigTensor],
    config: TritonConfig,
    max_batch: int,
    *,
    parameters: Mapping[str, str] | None = None,
) -> Any:
    """Return a model's config (a `ModelConfig`); with a `max_batch` of 0 dims hold the batch too.

    Raises ValueError where a value doesn't fit.
    """
    from sightline_engines.triton.config_parts import (
        accelerate,
        batch_dynamically,
        choose_versions,
        place_instances,
        warm_up,
    )

    message = described(name, inputs, outputs, max_batch, parameters or {})
    if config.platform == "tensorrt_plan":
        message.platform = config.platform
    message.backend = "tensorrt" if config.platform == "tensorrt_plan" else config.platform
    message.default_model_filename = config.model_file
    choose_versions(message, config)
    place_instances(message, config)
    batch_dynamically(message, config)
    accelerate(message, config)
    if config.warmup:
        warm_up(message)
    if config.response_cache:
        # Of a network alone: the cache's key leaves a request's parameters out, its thresholds.
        message.response_cache.enable = True
    return message


def described(
    name: str,
    inputs: Sequence[ConfigTensor],
    outputs: Sequence[ConfigTensor],
    max_batch: int,
    parameters: Mapping[str, str],
) -> Any:
    """Return a `ModelConfig` with a name, tensors and parameters; raises ValueError."""
    if not 0 <= max_batch <= MOST_BATCH:
        raise ValueError(f"max_batch must be from 0 to {MOST_BATCH}, not {max_batch}.")
    message = messages().ModelConfig(name=name, max_batch_size=max_batch)
    for ports, kept in ((inputs, message.input), (outputs, message.output)):
        if not ports:
            raise ValueError(f"{name} needs an input and an output at least.")
        for port in ports:
            kept.add(name=port.name, data_type=data_type(port.datatype), dims=_dims(name, port))
    for port, output in zip(outputs, message.output, strict=True):
        output.label_filename = port.labels_file
    for key, text in parameters.items():
        message.parameters[key].string_value = text
    return message


def data_type(datatype: str) -> int:
    """Return the number that configs use for a protocol's type; raises ValueError."""
    types = messages().DataType
    wanted = "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"
    names = [name for name in types.DESCRIPTOR.values_by_name if name != "TYPE_INVALID"]
    if wanted not in names or datatype == "STRING":
        known = ", ".join(name.removeprefix("TYPE_").replace("STRING", "BYTES") for name in names)
        raise ValueError(f"Triton has no datatype {datatype!r}; it has {known}.")
    return int(types.Value(wanted))


def config_text(message: Any) -> str:
    """Return a config as the text of a config.pbtxt."""
    from google.protobuf import text_format  # type: ignore[import-untyped]

    return str(text_format.MessageToString(message, as_utf8=True))


def read_config(text: str) -> Any:
    """Return the `ModelConfig` that a config.pbtxt holds; raises ValueError naming the line."""
    from google.protobuf import text_format

    try:
        return text_format.Parse(text, messages().ModelConfig())
    except text_format.ParseError as error:
        raise ValueError(f"This is no config.pbtxt: {error}.") from error


def messages() -> Any:
    """Return the module of Triton's protobuf types; raises ProviderError where it is missing."""
    try:
        from tritonclient.grpc import model_config_pb2
    except ImportError as error:
        raise ProviderError(
            f"Triton's configs are made with tritonclient, which can't be imported ({error}). "
            "Install it: pip install 'sightline-engines[triton]'."
        ) from error
    return model_config_pb2


def _dims(name: str, port: ConfigTensor) -> tuple[int, ...]:
    if not port.dims or any(side < 1 and side != -1 for side in port.dims):
        raise ValueError(
            f"{name}: the tensor '{port.name}' has the dims {list(port.dims)}; each must be 1 or "
            "more, or -1 for any size."
        )
    return port.dims
