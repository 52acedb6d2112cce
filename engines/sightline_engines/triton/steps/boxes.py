"""The last step of a detector: the network's raw output in, boxes as JSON out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_engines.postprocess import DetectOptions, postprocess
from sightline_engines.triton.steps.answers import Answerer, Found, Look
from sightline_engines.triton.steps.step import Answer, PictureFacts, Request
from sightline_engines.types import Family, Letterbox, ModelSpec, Postprocess

_MOST = 1000  # detections that may be asked for


class BoxesStep:
    """Decodes, suppresses and names boxes; a request's parameters may set its own thresholds.

    These are `conf` and `iou` (0 to 1), `max_detections` and `classes`, names or numbers with
    commas between them.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec = ModelSpec(
            name=str(spec["model"]),
            path=Path("model"),
            family=Family(spec["family"]),
            input_size_wh=(int(spec["input_size_wh"][0]), int(spec["input_size_wh"][1])),
            labels=tuple(spec["labels"]),
            postprocess=Postprocess(**spec["postprocess"]),
        )
        self._answerer = Answerer(
            self._spec.name, int(spec["deployment"]), str(spec["sha256"]), str(spec["tensor"])
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors that it takes."""
        return self._answerer.inputs

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer a batch of requests, in their order."""
        return self._answerer.run(requests, self._look_for)

    def close(self) -> None:
        """Give nothing back: it holds nothing."""

    def _look_for(self, parameters: Mapping[str, Any]) -> Look:
        options = asked(parameters, self._spec)

        def look(output: NDArray[np.float32], facts: PictureFacts) -> Found:
            box = Letterbox(
                *(facts.scale_x, facts.scale_y, int(facts.pad_x), int(facts.pad_y)),
                *(int(facts.width), int(facts.height)),
            )
            (found,) = postprocess((output[None],), [box], self._spec, [options])
            return {"detections": found.to_dicts(self._spec.labels)}

        return look


def asked(parameters: Mapping[str, Any], spec: ModelSpec) -> DetectOptions:
    """Return the thresholds of a request, the model's own where it names none.

    Raises ValueError saying which parameter is wrong.
    """
    own = spec.postprocess
    most = _number(parameters, "max_detections", own.max_detections, 1, _MOST)
    return DetectOptions(
        _number(parameters, "conf", own.conf, 0, 1),
        _number(parameters, "iou", own.iou, 0, 1),
        _classes(str(parameters.get("classes", "")), spec.labels),
        int(most),
    )


def _number(
    parameters: Mapping[str, Any], name: str, default: float, low: float, high: float
) -> float:
    value = parameters.get(name, default)
    try:
        number = float(value)  # a text too: a client over gRPC can't send any other fraction
    except (TypeError, ValueError):
        number = float("nan")
    if not low <= number <= high:
        raise ValueError(f"{name} must be a number from {low} to {high}, not {str(value)[:80]!r}.")
    return number


def _classes(text: str, labels: Sequence[str]) -> frozenset[int] | None:
    names = [name.strip() for name in text.split(",") if name.strip()]
    found: set[int] = set()
    for name in names:
        if name in labels:
            found.update(i for i, label in enumerate(labels) if label == name)
        elif name.isdecimal() and int(name) < len(labels):
            found.add(int(name))
        else:
            known = ", ".join(labels)[:500]
            raise ValueError(f"The model has no class {name[:80]!r}; it knows {known}.")
    return frozenset(found) if names else None
