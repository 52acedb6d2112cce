"""Read an ONNX file: its ports, metadata and precision, and nothing that leaves the file."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, TensorProto

from sightline_engines.errors import ModelFileError
from sightline_engines.onnxcheck import check_model
from sightline_engines.onnxlimits import OnnxLimits
from sightline_engines.onnxwire import check_wire

LIMITS = OnnxLimits()
MIN_OPSET = 7  # the oldest that ONNX Runtime runs
_INTEGER_OPS = frozenset(
    {"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "DequantizeLinear"}
)

Shape = tuple[int | None, ...]  # None: decided when the model runs


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a model."""

    name: str
    elem_type: int  # a TensorProto.DataType
    shape: Shape

    def __str__(self) -> str:
        kind = TensorProto.DataType.Name(self.elem_type).lower()
        sides = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"'{self.name}' {kind} [{sides}]"


@dataclass(frozen=True, slots=True, eq=False)
class OnnxFile:
    """A parsed file and what is asked of it."""

    model: ModelProto
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: dict[str, str]

    @property
    def precision(self) -> str:
        """Return int8, fp16 or fp32: what the weights are computed in."""
        graph = self.model.graph
        if any(node.op_type in _INTEGER_OPS for node in graph.node):
            return "int8"
        kinds = [tensor.data_type for tensor in graph.initializer]
        if kinds.count(TensorProto.FLOAT16) > kinds.count(TensorProto.FLOAT):
            return "fp16"
        return "fp32"

    def has_op(self, op_type: str) -> bool:
        """Tell whether the graph uses an operator."""
        return any(node.op_type == op_type for node in self.model.graph.node)


def read_onnx(path: Path, limits: OnnxLimits = LIMITS) -> OnnxFile:
    """Parse and check a file that anybody may have made; raises ModelFileError."""
    if path.suffix.lower() != ".onnx":
        raise ModelFileError(
            f"{path.name} is not an ONNX file. Export your model to ONNX first "
            f"(Ultralytics: `yolo export model={path.name} format=onnx`)."
        )
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelFileError(f"{path} is not a plain file.")
            _check_size(status.st_size, limits, path.name)
            data = file.read(status.st_size)
    except OSError as error:
        raise ModelFileError(f"{path} can't be read: {error.strerror or error}.") from error
    return parse_onnx(data, path.name, limits)


def parse_onnx(data: bytes, name: str, limits: OnnxLimits = LIMITS) -> OnnxFile:
    """Read a model from memory; `name` is what the messages call it."""
    _check_size(len(data), limits, name)
    check_wire(data, ModelProto.DESCRIPTOR, limits, name)
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError) as error:
        raise ModelFileError(f"{name} is not a readable ONNX file: {error}.") from error
    if not model.graph.node:
        raise ModelFileError(f"{name} holds no ONNX graph; is the download complete?")
    _check_opset(model, name)
    check_model(model, limits, name)
    weights = {tensor.name for tensor in model.graph.initializer}
    return OnnxFile(
        model,
        tuple(_port(v) for v in model.graph.input if v.name not in weights),
        tuple(_port(v) for v in model.graph.output),
        {entry.key: entry.value for entry in model.metadata_props},
    )


def _check_size(size: int, limits: OnnxLimits, name: str) -> None:
    if size > limits.file_bytes:
        raise ModelFileError(f"{name} has {size} bytes; the limit is {limits.file_bytes}.")


def _check_opset(model: ModelProto, name: str) -> None:
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < MIN_OPSET:
        raise ModelFileError(
            f"{name} uses ONNX opset {opset}; supported are {MIN_OPSET} and newer. "
            "Export it again with a newer opset, for example 17."
        )


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    dims = tensor.shape.dim
    shape = tuple(d.dim_value if d.dim_value > 0 else None for d in dims)
    return Port(value.name, tensor.elem_type, shape)
