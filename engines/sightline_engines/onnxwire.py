"""Count what a protobuf file would become, before it is parsed.

A message of two bytes takes a hundred once it is read: a file within the limit of bytes can
ask for all of a machine's memory. This walks the encoding and keeps nothing.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import (  # type: ignore[import-untyped]
    Descriptor,
    FieldDescriptor,
)

from sightline_engines.errors import ModelFileError
from sightline_engines.onnxlimits import OnnxLimits

_VARINT, _BYTES = 0, 2
_WIDTHS = {1: 8, 5: 4}
_FIXED = frozenset(
    {
        *(FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE),
        *(FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_FIXED64),
        *(FieldDescriptor.TYPE_SFIXED32, FieldDescriptor.TYPE_SFIXED64),
        FieldDescriptor.TYPE_BYTES,
    }
)


def check_wire(whole: bytes, kind: Descriptor, limits: OnnxLimits, name: str) -> None:
    """Refuse bytes that are no such message, or would grow beyond the limits when parsed."""
    data = memoryview(whole)
    fields = packed = place = 0
    tables: dict[str, dict[int, Any]] = {}
    open_messages = [(len(data), _fields(kind, tables))]  # where each ends, the outermost first
    while open_messages:
        end, known = open_messages[-1]
        if place >= end:
            open_messages.pop()
            if place > end:
                raise _damaged(name)
            continue
        fields += 1
        if fields > limits.fields:
            raise ModelFileError(
                f"{name} has more than {limits.fields} fields; no detector needs as many."
            )
        tag, place = _varint(data, place, end, name)
        wire, field = tag & 7, known.get(tag >> 3)
        if wire == _VARINT:
            _, place = _varint(data, place, end, name)
        elif wire in _WIDTHS:
            place += _WIDTHS[wire]
        elif wire == _BYTES:
            size, place = _varint(data, place, end, name)
            if size > end - place:
                raise _damaged(name)
            if field is not None and field.message_type is not None:
                if len(open_messages) > limits.nesting:
                    raise ModelFileError(f"{name} is nested deeper than {limits.nesting} messages.")
                open_messages.append((place + size, _fields(field.message_type, tables)))
                continue
            packed += _growing(field, data[place : place + size], name)
            place += size
        else:
            raise _damaged(name)
    if packed > limits.packed_bytes:
        raise ModelFileError(
            f"{name} writes {packed} bytes of weights as single numbers, more than "
            f"{limits.packed_bytes}. Save them as raw data: onnx.numpy_helper.from_array."
        )


def _fields(kind: Descriptor, tables: dict[str, dict[int, Any]]) -> dict[int, Any]:
    """Return a message's fields by number; asked for once a kind, as it is slow."""
    name = kind.full_name
    if name not in tables:
        tables[name] = dict(kind.fields_by_number)
    return tables[name]


def _growing(field: Any, data: memoryview, name: str) -> int:
    """Return how many bytes of a field take more room once they are read; check text."""
    if field is None or field.type in _FIXED:
        return 0
    if field.type != FieldDescriptor.TYPE_STRING:
        return len(data)
    try:
        str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(name) from error
    return 0


def _varint(data: memoryview, place: int, end: int, name: str) -> tuple[int, int]:
    """Return a number and where the next one begins."""
    value = shift = 0
    while place < end and shift < 70:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise _damaged(name)


def _damaged(name: str) -> ModelFileError:
    return ModelFileError(f"{name} is not a readable ONNX file: its encoding is damaged.")
