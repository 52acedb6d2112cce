"""Small labelled data sets in both layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Document = dict[str, Any]


def picture(path: Path, width: int = 40, height: int = 20) -> None:
    """Write a black picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


def document() -> Document:
    """Return COCO labels of two pictures."""
    return {
        "images": [
            {"id": 7, "file_name": "b.jpg", "width": 40, "height": 20},
            {"id": 3, "file_name": "a.jpg", "width": 40, "height": 20},
        ],
        "categories": [{"id": 9, "name": "car"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 9, "bbox": [1, 2, 10, 5]},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 4, 4], "iscrowd": 1,
             "area": 7},
        ],
    }  # fmt: skip


def coco(folder: Path, data: object) -> Path:
    """Write a COCO folder; return its JSON file."""
    for name in ("a.jpg", "b.jpg"):
        picture(folder / "images" / name)
    target = folder / "annotations" / "instances.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(data if isinstance(data, str) else json.dumps(data))
    return target


def yolo(folder: Path, labels: str = "1 0.5 0.5 0.5 0.5\n", names: str = "a\nb\n") -> Path:
    """Write a YOLO folder of one picture."""
    picture(folder / "images" / "a.jpg")
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text(labels)
    (folder / "classes.txt").write_text(names)
    return folder
