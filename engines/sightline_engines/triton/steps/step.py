"""What a step is: requests in, an answer for each out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Answer: TypeAlias = dict[str, NDArray[Any]] | str  # a text: what went wrong with the request


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One request as Triton hands it over; the first axis of each array is its batch."""

    arrays: Mapping[str, NDArray[Any]]
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What the last step has to know of a picture; the letterbox comes first."""

    scale_x: float = 1.0
    scale_y: float = 1.0
    pad_x: float = 0.0
    pad_y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    decode_ms: float = 0.0
    preprocess_ms: float = 0.0

    def row(self) -> tuple[float, ...]:
        """Return it as a row of FACTS."""
        return (
            *(self.scale_x, self.scale_y, self.pad_x, self.pad_y),
            *(self.width, self.height, self.decode_ms, self.preprocess_ms),
        )


class Step(Protocol):
    """Runs inside Triton; called from one thread."""

    @property
    def inputs(self) -> tuple[str, ...]: ...

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer a batch of requests, in their order; one that fails leaves the others alone."""
        ...

    def close(self) -> None: ...


def texts(values: Sequence[str]) -> NDArray[np.object_]:
    """Return texts as (N, 1) bytes, which is how tensors of texts travel."""
    return np.array([[value.encode()] for value in values], np.object_).reshape(len(values), 1)


def open_step(spec: Mapping[str, Any]) -> Step:
    """Return the step that a spec.json describes."""
    match spec["step"]:
        case "pictures":
            from sightline_engines.triton.steps.pictures import PictureStep

            return PictureStep(spec)
        case "boxes":
            from sightline_engines.triton.steps.boxes import BoxesStep

            return BoxesStep(spec)
        case "classes":
            from sightline_engines.triton.steps.classes import ClassesStep

            return ClassesStep(spec)
    raise ValueError(f"no step '{spec['step']}'")
