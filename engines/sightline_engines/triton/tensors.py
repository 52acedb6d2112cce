"""Arrays as Triton's requests and answers carry them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from sightline_engines.triton.errors import UnfitAnswerError
from sightline_engines.triton.facts import Answer, Array, Parameters

Message: TypeAlias = Any  # a protobuf message: tritonclient has no types

_NUMPY = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
_TRITON = {np.dtype(kind): name for name, kind in _NUMPY.items()}


class Region(Protocol):
    """Memory that the server has, too."""

    @property
    def name(self) -> str:
        """As it is registered."""
        ...

    def read(self, offset: int, kind: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """Return a copy of an array in it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SharedInput:
    """An input that lies in a region."""

    region: Region
    offset: int
    byte_size: int
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SharedOutput:
    """Where the server is to put an output, `byte_size` at most."""

    name: str
    region: Region
    offset: int
    byte_size: int


def numpy_type(datatype: str) -> np.dtype[Any] | None:
    """Return the numpy type of Triton's; None for BYTES and what numpy doesn't know (BF16)."""
    kind = _NUMPY.get(datatype)
    return None if kind is None else np.dtype(kind)


def triton_type(kind: np.dtype[Any]) -> str:
    """Return Triton's name of a numpy type; ValueError for one that it doesn't know."""
    if kind.kind in "OS":
        return "BYTES"
    if kind not in _TRITON:
        raise ValueError(f"Triton has no type for {kind}; known are {', '.join(_NUMPY)}, BYTES")
    return _TRITON[kind]


def infer_request(
    model: str,
    inputs: Mapping[str, Array | SharedInput],
    outputs: Sequence[str | SharedOutput],
    version: str,
    parameters: Parameters | None,
) -> Message:
    """Return a ModelInferRequest; arrays of objects hold bytes and travel as BYTES."""
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    for name, value in inputs.items():
        if isinstance(value, SharedInput):
            tensor = request.inputs.add(name=name, datatype=value.datatype, shape=value.shape)
            _shared(tensor.parameters, value.region.name, value.offset, value.byte_size)
        else:
            kind = triton_type(value.dtype)
            request.inputs.add(name=name, datatype=kind, shape=value.shape)
            request.raw_input_contents.append(
                _packed(value) if kind == "BYTES" else value.tobytes()
            )
    for output in outputs:
        if isinstance(output, SharedOutput):
            asked = request.outputs.add(name=output.name)
            _shared(asked.parameters, output.region.name, output.offset, output.byte_size)
        else:
            request.outputs.add(name=output)
    for name, choice in (parameters or {}).items():
        _set(request.parameters[name], choice)
    return request


def answer_of(response: Message, outputs: Sequence[str | SharedOutput] = ()) -> Answer:
    """Return the arrays of a ModelInferResponse; raises UnfitAnswerError for a bad one."""
    shared = {one.name: one for one in outputs if isinstance(one, SharedOutput)}
    raw = list(response.raw_output_contents)
    arrays: dict[str, Array] = {}
    try:
        for at, output in enumerate(response.outputs):
            shape = tuple(output.shape)
            kind = numpy_type(output.datatype)
            if output.name in shared and kind is not None:
                one = shared[output.name]
                arrays[output.name] = one.region.read(one.offset, kind, shape)
            elif output.datatype == "BYTES":
                arrays[output.name] = _unpacked(raw[at]).reshape(shape)
            elif kind is not None:
                arrays[output.name] = np.frombuffer(raw[at], kind).reshape(shape)
            else:
                raise ValueError(f"{output.name} is of type {output.datatype}, which numpy lacks")
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise UnfitAnswerError(
            f"Triton's answer of {response.model_name} is no good: {error}."
        ) from error
    return Answer(arrays, response.model_name, response.model_version)


def _shared(parameters: Message, region: str, offset: int, byte_size: int) -> None:
    parameters["shared_memory_region"].string_param = region
    parameters["shared_memory_byte_size"].int64_param = byte_size
    if offset:
        parameters["shared_memory_offset"].int64_param = offset


def _set(parameter: Message, value: str | int | bool | float) -> None:
    match value:
        case bool():
            parameter.bool_param = value
        case int():
            parameter.int64_param = value
        case float():
            parameter.double_param = value
        case _:
            parameter.string_param = value


def _packed(array: Array) -> bytes:
    """Return strings one after the other, each behind its length in four bytes."""
    parts: list[bytes] = []
    for item in array.ravel():
        data = item.encode() if isinstance(item, str) else bytes(item)
        parts += (len(data).to_bytes(4, "little"), data)
    return b"".join(parts)


def _unpacked(data: bytes) -> Array:
    found: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if end > len(data):
            raise ValueError(f"a string ends {end - len(data)} bytes after the data")
        found.append(data[at + 4 : end])
        at = end
    array = np.empty(len(found), np.object_)
    array[:] = found
    return array
