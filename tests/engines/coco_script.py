"""A model's accuracy by plain ONNX Runtime and pycocotools: nothing of Sightline is in it.

It reads yolox_nano as its authors' demonstration does, to compare Sightline's figures with.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SIDE = 416


def yolox_map(model: Path, folder: Path, image_ids: list[int]) -> tuple[float, float]:
    """Return (mAP50-95, mAP50) of a YOLOX file whose classes are COCO's in COCO's order."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "annotations" / "instances.json"))
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        rows = []
        for image_id in image_ids:
            name = truth.loadImgs([image_id])[0]["file_name"]
            rows += _found(session, folder / "images" / name, image_id, truth.getCatIds())
        judge = COCOeval(truth, truth.loadRes(rows), "bbox")
        judge.params.imgIds = image_ids
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


def _found(session: Any, path: Path, image_id: int, categories: list[int]) -> list[dict[str, Any]]:
    image = cv2.imread(str(path))
    assert image is not None
    height, width = image.shape[:2]
    ratio = min(SIDE / width, SIDE / height)
    canvas = np.full((SIDE, SIDE, 3), 114, np.uint8)
    new_w, new_h = int(width * ratio), int(height * ratio)
    canvas[:new_h, :new_w] = cv2.resize(image, (new_w, new_h))
    tensor = canvas.transpose(2, 0, 1)[None].astype(np.float32)
    boxes, scores = _decoded(session.run(None, {session.get_inputs()[0].name: tensor})[0][0])
    boxes[:, [0, 2]] = (boxes[:, [0, 2]] * width / new_w).clip(0, width)
    boxes[:, [1, 3]] = (boxes[:, [1, 3]] * height / new_h).clip(0, height)
    best = scores.argmax(1)
    score = scores.max(1)
    rows: list[dict[str, Any]] = []
    for number in range(scores.shape[1]):
        mine = np.flatnonzero((best == number) & (score > 0.001))
        for index in _suppressed(boxes[mine], score[mine]):
            x1, y1, x2, y2 = (float(v) for v in boxes[mine[index]])
            rows.append({
                "image_id": image_id,
                "category_id": categories[number],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": float(score[mine[index]]),
            })  # fmt: skip
    return sorted(rows, key=lambda row: float(row["score"]), reverse=True)[:100]


def _decoded(output: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    grids, strides = [], []
    for stride in (8, 16, 32):
        cells = SIDE // stride
        ys, xs = np.mgrid[:cells, :cells]
        grids.append(np.stack((xs, ys), -1).reshape(-1, 2))
        strides.append(np.full((cells * cells, 1), stride))
    grid, stride_column = np.concatenate(grids), np.concatenate(strides)
    centre = (output[:, :2] + grid) * stride_column
    half = np.exp(output[:, 2:4]) * stride_column / 2
    return np.concatenate((centre - half, centre + half), 1), output[:, 4:5] * output[:, 5:]


def _suppressed(boxes: NDArray[np.float32], score: NDArray[np.float32]) -> list[int]:
    """Return the indices that greedy suppression at IoU 0.65 keeps."""
    kept: list[int] = []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for index in (-score).argsort(kind="stable").tolist():
        if kept:
            least = np.minimum(boxes[index, 2:], boxes[kept, 2:])
            most = np.maximum(boxes[index, :2], boxes[kept, :2])
            shared = (least - most).clip(0).prod(1)
            if (shared / (area[index] + area[kept] - shared) > 0.65).any():
                continue
        kept.append(index)
    return kept


if __name__ == "__main__":
    import sys

    weights, data = Path(sys.argv[1]), Path(sys.argv[2])
    listed = json.loads((data / "annotations" / "instances.json").read_text())["images"]
    print(yolox_map(weights, data, sorted(row["id"] for row in listed)))
