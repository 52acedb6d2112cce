"""Compare what a made model detects with what its source detects, on the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sightline_engines.convert.calibration import load_pictures
from sightline_engines.convert.options import Parity
from sightline_engines.convert.rendered import rendered_pictures
from sightline_engines.errors import ModelFileError
from sightline_engines.load import EngineName, load_engine
from sightline_engines.pipeline import DetectOptions, detect
from sightline_engines.progress import Progress, part, quiet
from sightline_engines.types import Detections, Format, Image, ModelSpec

MOST_PICTURES = 32
_RENDERED = 12
_NEAR = 0.05  # of the threshold: a box there may fall on either side of it
_FEW = 30  # boxes; with fewer, less sure ones are compared as well
_LOWEST = 0.01  # score of a box that is compared at all
_LEAST = {"fp32": 0.995, "fp16": 0.98, "int8": 0.80}
_SPARED = 2  # boxes of both models that may differ whatever the share: one that moved is two
_ENGINES: dict[Format, EngineName] = {
    Format.ONNX: "onnxruntime",
    Format.OPENVINO: "openvino",
    Format.TENSORRT: "tensorrt",
}


class ParityError(ModelFileError):
    """A made model detects something else than its source."""

    code: ClassVar[str] = "parity"


@dataclass(slots=True)
class _Tally:
    boxes: int = 0
    counted: int = 0
    agreeing: int = 0
    ious: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)


def check_parity(
    source: ModelSpec, made: ModelSpec, pictures: Sequence[Path], progress: Progress = quiet
) -> Parity:
    """Run both models on the same pictures and compare their boxes; blocks for seconds.

    At most 32 pictures are looked at; with none, drawn ones. Raises ParityError where too few
    boxes agree: 99.5 % must in fp32, 98 % in fp16, 80 % in INT8. Where that leaves less than two
    boxes of both models to differ, two may, so that 37 boxes don't fail by a single one that
    moved; four fifths must agree however few there are.
    """
    if pictures:
        images, _ = load_pictures(pictures, MOST_PICTURES, part(progress, 0, 0.1))
    else:
        images = rendered_pictures(_RENDERED)
    expected = _detections(source, images, part(progress, 0.1, 0.55))
    found = _detections(made, images, part(progress, 0.55, 1))
    parity = compare(expected, found, source.postprocess.conf, made.precision)
    if parity.agreeing < parity.least_agreeing:
        raise ParityError(_too_far(source, made, parity))
    return parity


def compare(
    expected: Sequence[Detections], found: Sequence[Detections], conf: float, precision: str
) -> Parity:
    """Compare two models' boxes picture by picture; both reach down to low scores."""
    scores = np.concatenate([np.zeros(0), *(boxes.score for boxes in expected)])
    limit = conf
    if np.count_nonzero(scores >= conf) < _FEW:
        # Below the last of them, so that it isn't one that may fall on either side.
        limit = 0.8 * float(np.sort(scores)[::-1][:_FEW].min(initial=conf))
    near = min(_NEAR, 0.2 * limit)
    overlap = 0.75 if precision == "int8" else 0.9
    tally = _Tally()
    for one, other in zip(expected, found, strict=True):
        pairs = _pairs(one, other, overlap, limit - near)
        tally.boxes += int(np.count_nonzero(one.score >= limit))
        tally.ious += [iou for _, _, iou in pairs]
        tally.errors += [float(abs(one.score[i] - other.score[j])) for i, j, _ in pairs]
        _count(tally, one.score, {i for i, _, _ in pairs}, limit, near)
        _count(tally, other.score, {j for _, j, _ in pairs}, limit, near)
    return Parity(
        pictures=len(expected),
        boxes=tally.boxes,
        agreeing=tally.agreeing / tally.counted if tally.counted else 1.0,
        mean_iou=float(np.mean(tally.ious)) if tally.ious else 1.0,
        score_error=float(np.mean(tally.errors)) if tally.errors else 0.0,
        least_agreeing=_least(precision, tally.counted),
    )


def _least(precision: str, counted: int) -> float:
    """Return what share of so many boxes of both models must agree."""
    share = _LEAST.get(precision, _LEAST["fp16"])
    return min(share, max(_LEAST["int8"], (counted - _SPARED) / counted)) if counted else share


def _count(
    tally: _Tally, scores: NDArray[np.float32], paired: set[int], limit: float, near: float
) -> None:
    """Count one model's boxes above the limit; one just above it that has no pair is left out."""
    for index, score in enumerate(scores.tolist()):
        if score < limit or (index not in paired and score < limit + near):
            continue
        tally.counted += 1
        tally.agreeing += index in paired


def _pairs(
    one: Detections, other: Detections, overlap: float, least: float
) -> list[tuple[int, int, float]]:
    """Pair boxes of one class, the greatest overlap first; (index, index, IoU)."""
    ious = iou_matrix(one.xyxy, other.xyxy)
    ious[one.class_id[:, None] != other.class_id[None, :]] = 0
    ious[one.score < least, :] = 0
    ious[:, other.score < least] = 0
    pairs: list[tuple[int, int, float]] = []
    rows, columns = np.nonzero(ious >= overlap)
    free_rows, free_columns = set(rows.tolist()), set(columns.tolist())
    for k in np.argsort(-ious[rows, columns], kind="stable"):
        i, j = int(rows[k]), int(columns[k])
        if i in free_rows and j in free_columns:
            pairs.append((i, j, float(ious[i, j])))
            free_rows.remove(i)
            free_columns.remove(j)
    return pairs


def iou_matrix(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the overlap of each box (n, 4) with each other box (m, 4) as (n, m)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)


def _detections(spec: ModelSpec, images: Sequence[Image], progress: Progress) -> list[Detections]:
    device = None if spec.format is Format.TENSORRT else "cpu"
    engine = load_engine(spec, _ENGINES[spec.format], device=device)
    options = DetectOptions(_LOWEST, spec.postprocess.iou, None, 100)
    found: list[Detections] = []
    try:
        for number, image in enumerate(images):
            progress(number / len(images), f"comparing on picture {number + 1} of {len(images)}")
            found += detect(engine, [image], [options])[0]
    finally:
        engine.close()
    return found


def _too_far(source: ModelSpec, made: ModelSpec, parity: Parity) -> str:
    advice = {
        "int8": "Calibrate on more pictures, and on ones like those that the model will see, or "
        "take fp16.",
        "fp16": "The model's values may be too large for fp16; take fp32.",
    }
    return (
        f"{made.path.name} ({made.precision}) doesn't detect what {source.path.name} detects: of "
        f"the boxes of both, {parity.agreeing:.1%} agree on {parity.pictures} pictures "
        f"({parity.boxes} boxes of the source), and {parity.least_agreeing:.1%} must. "
        + advice.get(made.precision, "The conversion went wrong; keep the source.")
    )
