"""Publishing: put both files and their sidecars where the package ships them from."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sightline_engines.assets import SHIPPED_FILES, SHIPPED_NAME
from sightline_engines.types import ModelSpec
from sightline_training.int8 import quantise, spec_of
from sightline_training.samples import LABELS

NAME = SHIPPED_NAME
VERSION = "1"
SOURCE = "trained by engines/sightline_training; weights initialised from YOLOX-Nano (Apache-2.0)"


def publish(exported: Path, data: Path, assets: Path, confidence: float) -> tuple[Path, Path]:
    """Write the fp32 file and the INT8 one made of it; return their paths.

    `data` holds the pictures that INT8 is calibrated on. The sidecars go first: each names the
    hash of its model, so that after an interruption a file is new with a new sidecar, old with an
    old one, or refused; and no old INT8 runs beside a new fp32.

    Raises:
        FileNotFoundError: the pictures aren't there; nothing was written.
        ModelFileError: the export isn't a detector, or INT8 finds too little of what it finds.
    """
    content = exported.read_bytes()
    with TemporaryDirectory() as folder:
        copy = Path(folder) / exported.name  # a training that goes on may replace the export
        copy.write_bytes(content)
        spec = spec_of(copy, confidence)
        made = quantise(spec, data, Path(folder) / "int8")
        contents = {"fp32": content, "int8": made.path.read_bytes()}
    assets.mkdir(parents=True, exist_ok=True)
    paths = {precision: assets / f"{name}.onnx" for precision, name in SHIPPED_FILES.items()}
    for precision, notes in (("int8", made.notes), ("fp32", ())):
        fields = _sidecar(spec, precision, contents[precision]) | (
            {"notes": list(notes)} if notes else {}
        )
        text = json.dumps(fields, indent=2) + "\n"
        _replace(paths[precision].with_suffix(".json"), text.encode())
    for precision in ("fp32", "int8"):
        _replace(paths[precision], contents[precision])
    return paths["fp32"], paths["int8"]


def _sidecar(spec: ModelSpec, precision: str, content: bytes) -> dict[str, Any]:
    return {
        "name": SHIPPED_FILES[precision],
        "version": VERSION,
        "task": "detect",
        "family": "yolox",
        "input_size_wh": list(spec.input_size_wh),
        "labels": list(LABELS),
        "precision": precision,
        "preprocess": {"color": "bgr", "scale": 1.0, "letterbox": "topleft", "pad": 114},
        "postprocess": {"conf": spec.postprocess.conf, "iou": 0.5, "max_detections": 300},
        "licence": "Apache-2.0",
        "source": SOURCE,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
