"""Pictures to a Triton ensemble as they come, boxes back."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline_engines.postprocess import DetectOptions
from sightline_engines.triton.client import Client
from sightline_engines.triton.errors import ModelGoneError, UnfitAnswerError
from sightline_engines.triton.facts import Answer
from sightline_engines.triton.remote import PictureAnswer, PictureRefusal
from sightline_engines.types import Detections


@dataclass(frozen=True, slots=True)
class PictureModel:
    """An ensemble that takes one encoded picture (IMAGE_BYTES) and gives one JSON text."""

    name: str
    input: str
    output: str
    shape: tuple[int, ...]  # (1,), or (1, 1) where it has a batch of its own
    sha256: str  # of the file that must have answered


def picture_model(
    client: Client, name: str | None, sha256: str, timeout_s: float
) -> PictureModel | None:
    """Return the ensemble of a name; None where there is none that takes pictures."""
    if name is None:
        return None
    try:
        found = client.metadata(name, timeout_s=timeout_s)
    except ModelGoneError:
        return None
    ports = [*found.inputs, *found.outputs]
    if [port.datatype for port in ports] != ["BYTES", "BYTES"]:
        return None
    shape = tuple(1 for _ in found.inputs[0].shape)
    return PictureModel(name, found.inputs[0].name, found.outputs[0].name, shape, sha256)


def ask(
    client: Client,
    model: PictureModel,
    pictures: Sequence[bytes],
    options: Sequence[DetectOptions],
    timeout_s: float,
) -> list[PictureAnswer | PictureRefusal]:
    """Send each picture as a request of its own, all at once: the server makes batches of them.

    Raises EngineError, ModelGoneError where another file answered: the name has been moved on.
    """
    end_s = time.monotonic() + timeout_s
    futures = [
        client.start(
            model.name,
            {model.input: _one(picture, model.shape)},
            (model.output,),
            parameters=_parameters(option),
            timeout_s=max(end_s - time.monotonic(), 1e-3),
        )
        for picture, option in zip(pictures, options, strict=True)
    ]
    wait(futures)  # none is left under way when one has failed
    return [
        _read(future.result(), model, option)
        for future, option in zip(futures, options, strict=True)
    ]


def _one(picture: bytes, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    array = np.empty(shape, np.object_)
    array[...] = picture
    return array


def _parameters(options: DetectOptions) -> dict[str, str | int | bool]:
    found: dict[str, str | int | bool] = {
        "conf": repr(float(options.conf)),
        "iou": repr(float(options.iou)),
        "max_detections": options.max_detections,
    }
    if options.classes:
        found["classes"] = ",".join(str(one) for one in sorted(options.classes))
    return found


def _read(
    answer: Answer, model: PictureModel, options: DetectOptions
) -> PictureAnswer | PictureRefusal:
    try:
        told = json.loads(answer.arrays[model.output].ravel()[0])
        if "error" in told:
            return PictureRefusal(str(told["error"]["code"]), str(told["error"]["message"]))
        if told["sha256"] != model.sha256:
            raise ModelGoneError(f"Triton's {model.name} runs another file by now.")
        times = told["timings_ms"]
        boxes = Detections.from_dicts(told["detections"])
        if options.classes is not None:  # a text can't ask for none of them
            boxes = boxes[np.isin(boxes.class_id, list(options.classes))]
        return PictureAnswer(
            boxes,
            (int(told["width"]), int(told["height"])),
            *(float(times[name]) for name in ("decode", "preprocess", "postprocess")),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UnfitAnswerError(
            f"What Triton's {model.name} answered can't be read ({error!r}): it is no deployment "
            "of Sightline, or one of another version. Deploy it again."
        ) from error
