"""How well a model finds what is labelled, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_engines.benchmark.cells import Accuracy, ClassAccuracy
from sightline_engines.benchmark.labelled import Dataset, DatasetError, LabelledPicture
from sightline_engines.errors import PictureError
from sightline_engines.picture import PictureLimits, decode_frame
from sightline_engines.pipeline import DetectOptions, detect
from sightline_engines.progress import Progress, quiet
from sightline_engines.types import Detections, Engine

CONF, IOU, MAX_DETECTIONS = 0.001, 0.65, 100  # as detectors are commonly compared
_AT_50 = 0  # of pycocotools' thresholds 0.50, 0.55 … 0.95


def matched_classes(labels: Sequence[str], dataset: Dataset) -> dict[int, int]:
    """Return the data set's class for each of the model's that has the same name.

    Upper and lower case are the same. Raises DatasetError where no class is shared.
    """
    index = {name.strip().casefold(): i for i, name in enumerate(dataset.classes)}
    pairs = {
        i: index[label.strip().casefold()]
        for i, label in enumerate(labels)
        if label.strip().casefold() in index
    }
    if not pairs:
        raise DatasetError(
            f"The model and the data set {dataset.name} share no class. The model knows "
            f"{_listed(labels)}; the data set has {_listed(dataset.classes)}. Name the classes "
            "alike."
        )
    return pairs


def classes_to_find(labels: Sequence[str], dataset: Dataset) -> dict[int, int]:
    """Return `matched_classes`; raises DatasetError where no picture shows one of them."""
    pairs = matched_classes(labels, dataset)
    if not _has_boxes(dataset, sorted(set(pairs.values()))).any():
        raise DatasetError(
            f"None of the {len(dataset.pictures)} pictures of {dataset.name} has a box of a class "
            f"that the model knows ({_listed([dataset.classes[i] for i in pairs.values()])}): "
            "there is nothing to find, so no accuracy can be measured. Take more pictures, or "
            "label them; are the labels where they belong, beside the pictures?"
        )
    return pairs


def measure_accuracy(
    engine: Engine, dataset: Dataset, batch: int = 1, progress: Progress = quiet
) -> Accuracy:
    """Return mAP50, mAP50-95 and each class's AP, all pictures through the live pipeline.

    Classes that the model doesn't know are left out and named. Raises DatasetError, also where
    there is nothing to find, and EngineError.
    """
    pairs = classes_to_find(engine.spec.labels, dataset)
    options = DetectOptions(CONF, IOU, frozenset(pairs), MAX_DETECTIONS)
    found: list[Detections] = []
    total = len(dataset.pictures)
    for start in range(0, total, batch):
        part = dataset.pictures[start : start + batch]
        images, sizes = zip(*(_decoded(p, engine.spec.input_size_wh) for p in part), strict=True)
        found += detect(engine, images, [options] * len(part), sizes)[0]
        progress(len(found) / total, f"{len(found)} of {total} pictures")
    known = sorted(set(pairs.values()))
    precision = _precision(dataset, _rows(found, pairs), known)
    boxes = np.bincount(
        [box.class_id for picture in dataset.pictures for box in picture.boxes if not box.crowd],
        minlength=len(dataset.classes),
    )
    return Accuracy(
        map50=_mean(precision[_AT_50]) or 0.0,
        map50_95=_mean(precision) or 0.0,
        per_class={
            dataset.classes[number]: ClassAccuracy(
                _mean(precision[_AT_50, :, place]),
                _mean(precision[:, :, place]),
                int(boxes[number]),
            )
            for place, number in enumerate(known)
        },
        pictures=total,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        conf=CONF,
        iou=IOU,
        max_detections=MAX_DETECTIONS,
        left_out=tuple(n for i, n in enumerate(dataset.classes) if i not in known),
        missing=len(dataset.missing),
    )


def _decoded(
    picture: LabelledPicture, input_wh: tuple[int, int]
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    try:
        return decode_frame(picture.path.read_bytes(), PictureLimits(), input_wh)
    except (PictureError, OSError) as error:
        raise DatasetError(f"{picture.path.name} can't be decoded: {error}") from error


def _rows(found: Sequence[Detections], pairs: Mapping[int, int]) -> list[dict[str, Any]]:
    """Return detections as pycocotools takes them; pictures are numbered from 1."""
    rows = []
    for number, detections in enumerate(found, 1):
        corners = detections.xyxy.astype(np.float64)
        sizes = corners[:, 2:] - corners[:, :2]
        boxes = np.concatenate((corners[:, :2], sizes), axis=1).tolist()
        scores, classes = detections.score.tolist(), detections.class_id.tolist()
        rows += [
            {"image_id": number, "category_id": pairs[c] + 1, "bbox": box, "score": score}
            for box, score, c in zip(boxes, scores, classes, strict=True)
        ]
    return rows


def _precision(
    dataset: Dataset, rows: list[dict[str, Any]], known: Sequence[int]
) -> NDArray[np.float64]:
    """Return precision by (IoU threshold, recall, class); -1 for classes without a box."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it reports every step
        truth = COCO()
        truth.dataset = _truth(dataset)
        truth.createIndex()
        if not rows:
            return np.where(_has_boxes(dataset, known), 0.0, -1.0)[None, None] * np.ones((10, 1, 1))
        judge = COCOeval(truth, truth.loadRes(rows), "bbox")
        judge.params.catIds = [number + 1 for number in known]
        judge.params.areaRng, judge.params.areaRngLbl = judge.params.areaRng[:1], ["all"]
        judge.params.maxDets = [MAX_DETECTIONS]
        judge.evaluate()
        judge.accumulate()
    precision: NDArray[np.float64] = judge.eval["precision"][:, :, :, 0, 0]
    return precision


def _has_boxes(dataset: Dataset, known: Sequence[int]) -> NDArray[np.bool_]:
    real = {b.class_id for picture in dataset.pictures for b in picture.boxes if not b.crowd}
    return np.array([number in real for number in known])


def _truth(dataset: Dataset) -> dict[str, Any]:
    """Return the labels as pycocotools takes them; it needs ids from 1."""
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(dataset.pictures, 1):
        for box in picture.boxes:
            left, top, right, bottom = box.xyxy
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": box.class_id + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": box.area,
                    "iscrowd": int(box.crowd),
                }
            )
    return {
        "info": {},
        "images": [{"id": i + 1} for i in range(len(dataset.pictures))],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(dataset.classes)],
        "annotations": annotations,
    }


def _mean(precision: NDArray[np.float64]) -> float | None:
    """Return the mean over the classes that have boxes, None if none has."""
    counted = precision[precision > -1]
    return float(counted.mean()) if counted.size else None


def _listed(names: Sequence[str]) -> str:
    most = 12
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
