"""A rough look at accuracy: real weights on labelled pictures find what they are known to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving.accuracy import average_precision_50
from sightline_engines.load import load_engine
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.pipeline import DetectOptions, detect
from sightline_engines.recognise import recognise

COUNT = 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"), [("yolox_nano", 0.48), ("yolov8n_int8", 0.58), ("yolo26n_int8", 0.62)]
)
def test_known_weights_find_what_they_are_known_to_find(
    name: str, least: float, weights: Path, shared_data: Path
) -> None:
    truth = json.loads((shared_data / "coco" / "annotations" / "instances.json").read_text())
    truth["images"] = sorted(truth["images"], key=lambda row: row["id"])[:COUNT]
    ids = {row["id"] for row in truth["images"]}
    truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in ids]
    truth.setdefault("info", {})
    by_name = {row["name"]: row["id"] for row in truth["categories"]}
    spec = recognise(weights / f"{name}.onnx")
    engine = load_engine(spec, "onnxruntime", device="cpu", threads=2)
    rows: list[dict[str, Any]] = []
    for picture in truth["images"]:
        path = next((shared_data / "coco").rglob(picture["file_name"]))
        image = decode_picture(path.read_bytes(), PictureLimits())
        found = detect(engine, [image], [DetectOptions(0.01, 0.65, None, 100)])[0][0]
        for row in found.to_dicts(spec.labels):
            x1, y1, x2, y2 = row["xyxy"]
            box = [x1, y1, x2 - x1, y2 - y1]
            category = by_name[row["class_name"]]
            rows.append({"image_id": picture["id"], "category_id": category, "bbox": box,
                         "score": row["score"]})  # fmt: skip
    engine.close()
    assert average_precision_50(truth, rows) >= least
