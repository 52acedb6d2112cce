"""Detectors: files that are run on a picture, to teach or to be measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightline_engines.runtimes import import_onnxruntime
from sightline_training.boxes import Array, decode, suppress
from sightline_training.letterbox import letterbox, to_tensor
from sightline_training.samples import Picture

# A picture to rows of x1, y1, x2, y2 (source pixels), class, score; nothing suppressed yet.
Detector = Callable[[Picture], Array]

FLOOR = 0.001


def _session(path: Path) -> Any:
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def yolox(path: Path, labels: Mapping[int, int]) -> Detector:
    """Run a YOLOX file with a raw grid; `labels` maps its classes to ours."""
    session = _session(path)
    name, size = session.get_inputs()[0].name, int(session.get_inputs()[0].shape[2])

    def find(bgr: Picture) -> Array:
        canvas, scale = letterbox(bgr, size, size)
        raw = session.run(None, {name: to_tensor(canvas)})[0][0]
        xyxy = decode(raw, size) / scale
        parts = []
        for theirs, ours in labels.items():
            score = raw[:, 4] * raw[:, 5 + theirs]
            rows = np.column_stack((xyxy, np.full_like(score, ours), score))
            parts.append(rows[score > FLOOR])
        return np.asarray(np.concatenate(parts), np.float32)

    return find


def rfb(path: Path) -> Detector:
    """Run version-RFB-320 on faces: RGB, (x - 127) / 128, stretched to 320x240."""
    session = _session(path)
    name = session.get_inputs()[0].name

    def find(bgr: Picture) -> Array:
        rgb = cv2.cvtColor(cv2.resize(bgr, (320, 240)), cv2.COLOR_BGR2RGB)
        tensor = (to_tensor(np.asarray(rgb, np.uint8)) - 127.0) / 128.0
        scores, boxes = session.run(None, {name: tensor})
        score = scores[0, :, 1]
        xyxy = boxes[0] * np.asarray([bgr.shape[1], bgr.shape[0]] * 2, np.float32)
        rows = np.column_stack((xyxy, np.ones_like(score), score))
        return np.asarray(rows[score > FLOOR], np.float32)

    return find


def settle(rows: Array, overlap: float, floor: float = FLOOR, most: int = 300) -> Array:
    """Drop weak rows and suppress overlaps class by class; best first, at most `most`."""
    rows = rows[rows[:, 5] > floor]
    shifted = rows[:, :4] + rows[:, 4:5] * 1e5  # classes never meet
    kept: Array = rows[suppress(shifted.astype(np.float64), rows[:, 5], overlap, most)]
    return kept
