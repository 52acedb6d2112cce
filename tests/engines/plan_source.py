"""What plans are built of in the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from sightline_engines.convert.options import ConvertOptions
from sightline_engines.convert.rendered import rendered_pictures
from sightline_engines.device import Gpu
from sightline_engines.picture import encode_as
from sightline_engines.recognise import recognise
from sightline_engines.types import Format, ModelSpec
from tests.engines.tiny import constant_model, random_raw

GPU = Gpu("NVIDIA X", "9.0", "580.65.06")
PLAN = ConvertOptions(Format.TENSORRT)


def model(tmp_path: Path, batch: int | str = "n", op: str = "") -> ModelSpec:
    """Write a small ONNX model."""
    raw = random_raw("yolov8", 2)
    path = constant_model(tmp_path / "m.onnx", raw, batch=batch, gain=np.ones_like(raw), opset=17)
    if op:
        changed = onnx.load(path)
        changed.graph.node[-1].op_type = op
        onnx.save(changed, path)
    return recognise(path)


def drawn(folder: Path) -> list[Path]:
    """Draw four pictures."""
    paths = [folder / f"{number}.jpg" for number in range(4)]
    for path, image in zip(paths, rendered_pictures(4), strict=True):
        path.write_bytes(encode_as(image, ".jpg"))
    return paths
