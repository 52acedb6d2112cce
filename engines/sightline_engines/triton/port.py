"""How a model at a server is fed, and whether it is the model that is meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sightline_engines.errors import ModelFileError, ProviderError
from sightline_engines.heads import check_output
from sightline_engines.triton.errors import UnfitAnswerError
from sightline_engines.triton.facts import Array, TensorFacts
from sightline_engines.triton.find import FoundModel
from sightline_engines.types import Family, ModelSpec, RawOutput, Tensor

_MOST = 16  # pictures a request, where the server names no limit
_FLOATS = ("FP32", "FP16")


@dataclass(frozen=True, slots=True)
class Port:
    """What a model takes and gives."""

    input: str
    datatype: str  # UINT8: (N, h, w, 3) BGR as it comes; FP32, FP16: (N, 3, h, w), normalised here
    output: str
    output_type: str
    output_shape: tuple[int, ...] | None  # of one picture; None: only known once it has run
    most: int  # pictures a request
    exact: bool  # it takes exactly that many

    def chunks(self, tensor: Tensor) -> Iterator[Tensor]:
        """Yield what to send in each request; an `exact` one is filled up with its last picture."""
        for start in range(0, len(tensor), self.most):
            chunk = tensor[start : start + self.most]
            count = len(chunk)
            if self.exact and count < self.most:
                filling = np.repeat(chunk[-1:], self.most - count, axis=0)
                chunk = np.concatenate((chunk, filling))
            yield chunk


def port_of(found: FoundModel, spec: ModelSpec) -> Port:
    """Return how to feed a model; raises ProviderError where it can't be the one of `spec`."""
    metadata = found.metadata
    if len(metadata.inputs) != 1 or len(metadata.outputs) != 1:
        raise _unfit(
            found,
            spec,
            f"it has {len(metadata.inputs)} inputs and {len(metadata.outputs)} outputs, where a "
            "detector has one of each",
        )
    taken, given = metadata.inputs[0], metadata.outputs[0]
    _check_input(found, spec, taken)
    _check_output(found, spec, given)
    fixed = taken.shape[0]
    most = found.max_batch or (fixed if fixed > 0 else _MOST)
    shape = given.shape[1:]
    known = all(size > 0 for size in shape) and spec.family is not Family.END2END
    return Port(
        taken.name,
        taken.datatype,
        given.name,
        given.datatype,
        shape if known else None,
        most,
        exact=not found.max_batch and fixed > 0,
    )


def fed(tensor: Tensor, port: Port, spec: ModelSpec) -> Array:
    """Return pictures as a model takes them; one made by others is given what it was trained on."""
    if port.datatype == "UINT8":
        return tensor
    pixels = tensor[..., ::-1] if spec.preprocess.color == "rgb" else tensor
    planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)
    planes *= np.float32(spec.preprocess.scale)
    return planes.astype(np.float16) if port.datatype == "FP16" else planes


def checked(raw: RawOutput, count: int, spec: ModelSpec) -> RawOutput:
    """Return an answer for `count` pictures; raises UnfitAnswerError for one of another model."""
    try:
        check_output(raw, spec)
    except ModelFileError as error:
        raise UnfitAnswerError(
            f"What Triton answered is not {spec.name}'s: {error.message} Deploy it again."
        ) from error
    if len(raw[0]) != count:
        raise UnfitAnswerError(f"Triton answered {len(raw[0])} pictures, {count} were sent.")
    return raw


def _check_input(found: FoundModel, spec: ModelSpec, taken: TensorFacts) -> None:
    width, height = spec.input_size_wh
    wanted = {"UINT8": (height, width, 3), **dict.fromkeys(_FLOATS, (3, height, width))}
    if taken.datatype not in wanted:
        raise _unfit(
            found,
            spec,
            f"its input {taken.name} is {taken.datatype}, and what can be sent is UINT8 "
            "(pictures as they are), FP32 or FP16",
        )
    want = (-1, *wanted[taken.datatype])
    if not _alike(taken.shape, want):
        raise _unfit(
            found,
            spec,
            f"its input {taken.name} is {taken.datatype} {list(taken.shape)}, where {spec.name} "
            f"takes {list(want)}",
        )


def _check_output(found: FoundModel, spec: ModelSpec, given: TensorFacts) -> None:
    rows = len(spec.labels) + (4 if spec.family is Family.YOLOV8 else 5)
    match spec.family:
        case Family.YOLOV8:
            want = (-1, rows, -1)
        case Family.END2END:
            want = (-1, -1, 6)
        case _:
            want = (-1, -1, rows)
    if given.datatype not in _FLOATS or not _alike(given.shape, want):
        raise _unfit(
            found,
            spec,
            f"its output {given.name} is {given.datatype} {list(given.shape)}, where a "
            f"{spec.family} with {len(spec.labels)} classes gives FP32 {list(want)}",
        )


def _alike(shape: tuple[int, ...], want: tuple[int, ...]) -> bool:
    """Tell whether two shapes can be the same; -1 is any size."""
    return len(shape) == len(want) and all(
        -1 in pair or pair[0] == pair[1] for pair in zip(shape, want, strict=True)
    )


def _unfit(found: FoundModel, spec: ModelSpec, what: str) -> ProviderError:
    return ProviderError(
        f"Triton's {found.name} is not {spec.path.name}: {what}. Deploy the file itself (sightline "
        f"triton deploy {spec.name}), or correct the model's sidecar."
    )
