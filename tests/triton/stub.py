"""Stands in for what Triton's Python backend gives its models, to run a step without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray


class TritonModelException(Exception):
    """What a model raises."""


class TritonError(Exception):
    """What a request is answered with."""


class Tensor:
    """A named array."""

    def __init__(self, name: str, array: NDArray[Any]) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> NDArray[Any]:
        return self._array


class InferenceResponse:
    """Arrays by name, or an error."""

    def __init__(self, tensors: list[Tensor], error: TritonError | None = None) -> None:
        self.arrays = {one.name(): one.as_numpy() for one in tensors}
        self.error = error


class InferenceRequest:
    """Arrays by name and parameters."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], **parameters: Any) -> None:
        self.arrays = arrays
        self.undecodable = b""  # as Triton hands over what isn't UTF-8: not at all
        self._parameters = parameters

    def parameters(self) -> str:
        return self.undecodable.decode() or json.dumps(self._parameters)


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor:
    return Tensor(name, request.arrays[name])
