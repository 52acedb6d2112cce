"""An engine's raw output -> detections in source pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline_engines.heads import Candidates, decode
from sightline_engines.nms import nms
from sightline_engines.types import Detections, Family, Letterbox, ModelSpec, RawOutput


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """What one caller wants to see."""

    conf: float  # lowest score, 0..1
    iou: float  # boxes of one class that overlap more are one; not used by end-to-end heads
    classes: frozenset[int] | None = None  # class numbers; None: all
    max_detections: int = 300


def postprocess(
    raw: RawOutput,
    letterboxes: Sequence[Letterbox],
    spec: ModelSpec,
    options: Sequence[DetectOptions],
) -> list[Detections]:
    """Return each picture's detections, best first; rows beyond the letterboxes are padding."""
    return [
        _one(raw[0][i], letterbox, spec, option)
        for i, (letterbox, option) in enumerate(zip(letterboxes, options, strict=True))
    ]


def _one(
    output: NDArray[np.float32], letterbox: Letterbox, spec: ModelSpec, options: DetectOptions
) -> Detections:
    with np.errstate(all="ignore"):  # a damaged model's overflows are dropped below
        found = decode(output, spec, options.conf)
    if options.classes is not None:
        found = _take(found, np.isin(found.class_id, sorted(options.classes)))
    if not (np.isfinite(found.xyxy).all() and np.isfinite(found.score).all()):
        sane = np.all(np.isfinite(found.xyxy), axis=1) & np.isfinite(found.score)
        found = _take(found, sane)
    if spec.family is Family.END2END:
        kept = np.argsort(-found.score, kind="stable")[: options.max_detections]
    else:
        kept = nms(found.xyxy, found.score, found.class_id, options.iou, options.max_detections)
    found = _take(found, kept)
    xyxy = to_source(found.xyxy, letterbox)
    score = np.minimum(found.score, 1)  # fp16 rounds a sure 1 up
    visible = (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)
    if not visible.all():
        return Detections(xyxy[visible], score[visible], found.class_id[visible])
    return Detections(xyxy, score, found.class_id)


def to_source(xyxy: NDArray[np.float32], letterbox: Letterbox) -> NDArray[np.float32]:
    """Map boxes from input pixels to source pixels, cut at the picture's edges."""
    pad = np.array([letterbox.pad_x, letterbox.pad_y] * 2, np.float32)
    scale = np.array([letterbox.scale_x, letterbox.scale_y] * 2, np.float32)
    limit = np.array([letterbox.width, letterbox.height] * 2, np.float32)
    source: NDArray[np.float32] = np.clip((xyxy - pad) / scale, 0, limit)
    return source


def _take(found: Candidates, index: NDArray[np.bool_] | NDArray[np.intp]) -> Candidates:
    return Candidates(found.xyxy[index], found.score[index], found.class_id[index])
