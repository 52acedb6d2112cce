"""Publishing: put the exported file and its sidecar where the package ships them from."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import onnx

from sightline_training.samples import LABELS

NAME = "sightline-webcam"
VERSION = "1"
SOURCE = "trained by engines/sightline_training; weights initialised from YOLOX-Nano (Apache-2.0)"


def publish(exported: Path, assets: Path, confidence: float) -> Path:
    """Copy the ONNX file, then its sidecar, each in one move; return the model's path."""
    content = exported.read_bytes()
    shape = onnx.load_from_string(content).graph.input[0].type.tensor_type.shape.dim
    sidecar = {
        "name": NAME,
        "version": VERSION,
        "task": "detect",
        "family": "yolox",
        "input_size_wh": [shape[3].dim_value, shape[2].dim_value],
        "labels": list(LABELS),
        "precision": "fp32",
        "preprocess": {"color": "bgr", "scale": 1.0, "letterbox": "topleft", "pad": 114},
        "postprocess": {"conf": confidence, "iou": 0.5, "max_detections": 300},
        "licence": "Apache-2.0",
        "source": SOURCE,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assets.mkdir(parents=True, exist_ok=True)
    model = assets / f"{NAME}.onnx"
    _replace(model, content)
    _replace(model.with_suffix(".json"), (json.dumps(sidecar, indent=2) + "\n").encode())
    return model


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
