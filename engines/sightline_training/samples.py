"""Samples: decoded pictures with their boxes, from data laid out as COCO."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline_training.boxes import Array

Picture = NDArray[np.uint8]  # (H, W, 3) BGR

LABELS = ("person", "face")

# Where each set keeps its labels, and which class of ours its category 1 is.
SETS = {"faces": ("faces/instances.json", 1), "coco": ("coco/annotations/instances.json", 0)}


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One picture; a box is x1, y1, x2, y2, class, trust.

    Trust is 1 for a label made by people, a teacher's score for one of its own, and 0 for a
    region where nothing is learnt: a crowd, or something the teacher is unsure about.
    """

    name: str
    bgr: Picture
    boxes: Array  # (n, 6), source pixels


def held_out(name: str) -> frozenset[str]:
    """Read the file names of a set that are kept aside from training."""
    text = resources.files("sightline_training").joinpath(f"splits/{name}.txt").read_text("utf-8")
    return frozenset(text.split())


def truths(data: Path, name: str) -> dict[str, Array]:
    """Read the boxes that people drew: file name to (n, 6)."""
    file, label = SETS[name]
    content = json.loads((data / file).read_text("utf-8"))
    rows: dict[int, list[list[float]]] = defaultdict(list)
    for item in content["annotations"]:
        if item["category_id"] == 1:
            x, y, w, h = item["bbox"]
            trust = 0.0 if item.get("iscrowd") else 1.0
            rows[item["image_id"]].append([x, y, x + w, y + h, label, trust])
    return {
        image["file_name"]: np.asarray(rows[image["id"]], np.float32).reshape(-1, 6)
        for image in content["images"]
    }


def read_picture(path: Path) -> Picture:
    """Decode a picture as BGR.

    Raises:
        ValueError: it is missing or not a picture.
    """
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f"{path} is not a picture that OpenCV reads")
    return np.asarray(bgr, np.uint8)


def load(data: Path, name: str, taught: dict[str, Array], held: bool) -> list[Sample]:
    """Decode one side of a set's split into memory and add the boxes that teachers gave."""
    aside = held_out(name)
    samples = []
    for file, boxes in sorted(truths(data, name).items()):
        if (file in aside) == held:
            extra = taught.get(file, np.zeros((0, 6), np.float32))
            bgr = read_picture(data / name / "images" / file)
            samples.append(Sample(file, bgr, np.concatenate((boxes, extra))))
    return samples
