"""What a Triton server tells of itself and its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Parameters: TypeAlias = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """One input or output; `datatype` is Triton's name (UINT8, FP32, BYTES), -1 any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a model takes and gives."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A model in the repository; `version` and `state` are empty if it was never loaded."""

    name: str
    version: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What an inference gave, by output; the arrays may be read-only."""

    arrays: Mapping[str, Array]
    model: str
    version: str
