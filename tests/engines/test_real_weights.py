"""Real weights on real pictures, against a plain reading of each family and engine by engine."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest

from sightline_engines.load import EngineName
from sightline_engines.pipeline import DetectOptions, detect
from sightline_engines.recognise import recognise
from sightline_engines.types import Detections, Image
from tests.conftest import missing
from tests.engines import reference
from tests.engines.conftest import Load
from tests.engines.reference import Box, iou

CONF = 0.25
IOU = 0.45
# Nano-sized int8 models round their numbers each runtime's own way.
NAMES = ("yolox_nano", "yolov8n_int8", "yolo26n_int8", "yolov5n_face")


def pictures(shared_data: Path, name: str) -> list[Image]:
    """Return pictures with something in them: wide, tall, odd-sided, tiny, larger than input."""
    folder, first = ("faces", 4) if name.endswith("face") else ("coco", 20)
    paths = sorted((shared_data / folder).rglob("*.jpg"))[first : first + 4]
    if len(paths) < 4:
        missing(f"pictures in {folder}")
    wide, tall, odd, other = (_read(path) for path in paths)
    return [
        wide,
        tall,
        np.ascontiguousarray(odd[: odd.shape[0] // 2 * 2 - 1, 3:]),
        cast(Image, cv2.resize(other, (1279, 601))),
        cast(Image, cv2.resize(wide, (201, 333))),
    ]


def _read(path: Path) -> Image:
    return cast(Image, cv2.imread(str(path)))


@lru_cache(maxsize=4)
def session(path: Path) -> object:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def expected(path: Path, family: str, image: Image) -> list[Box]:
    """Return what the untouched file says through plain ONNX Runtime and plain loops."""
    yolox = family == "yolox"
    size_wh = (416, 416) if yolox else (640, 640)
    canvas, ratio, left, top = reference.letterboxed(image, size_wh, centre=not yolox)
    tensor = reference.network_input(canvas, rgb=not yolox, scale=1.0 if yolox else 1 / 255)
    output = session(path).run(None, {"images": tensor})[0][0]  # type: ignore[attr-defined]
    boxes = reference.decoded(family, output, size_wh, CONF)
    kept = boxes if family == "end2end" else reference.suppressed(boxes, IOU)
    size = (image.shape[1], image.shape[0])
    return [reference.in_source(box, ratio, left, top, size) for box in kept]


def assert_same(found: Detections, boxes: list[Box], pixels: float, score: float) -> None:
    """Check that sure boxes of each side have a partner on the other."""
    rows = [
        Box(x1, y1, x2, y2, s, c)
        for (x1, y1, x2, y2), s, c in zip(
            found.xyxy.tolist(), found.score.tolist(), found.class_id.tolist(), strict=True
        )
    ]
    for some, others in ((boxes, rows), (rows, boxes)):
        for box in some:
            if box.score < CONF + score:
                continue  # the other side may have it just under the threshold
            partners = [o for o in others if o.class_id == box.class_id]
            best = max(partners, key=lambda o: iou(o.corners, box.corners), default=None)
            assert best is not None, f"{box} has no partner"
            assert best.score == pytest.approx(box.score, abs=score)
            np.testing.assert_allclose(best.corners, box.corners, atol=pixels, err_msg=str(box))


def tolerances(name: str, engine: EngineName, image: Image) -> tuple[float, float]:
    """Return pixels and score: one pixel of the picture or of the input, whichever is larger.

    The published letterboxes round the resized side and then divide by the unrounded ratio,
    which is up to half an input pixel at the far edge; ours divides by what was really done.
    """
    side = 416 if name == "yolox_nano" else 640
    pixel = max(1.0, max(image.shape[:2]) / side)
    if name.endswith("int8") and engine == "openvino":
        return 10 * pixel, 0.08
    return pixel, 0.02


@pytest.mark.parametrize("name", NAMES)
def test_detections_are_those_of_the_plain_reading(
    name: str, weights: Path, shared_data: Path, load: Load, engine_name: EngineName
) -> None:
    spec = recognise(weights / f"{name}.onnx")
    engine = load(spec)
    images = pictures(shared_data, name)
    options = [DetectOptions(CONF, IOU)] * len(images)
    single = [detect(engine, [image], options[:1])[0][0] for image in images]
    together = detect(engine, images, options)[0]
    engine.close()
    total = 0
    for image, alone, batched in zip(images, single, together, strict=True):
        boxes = expected(spec.path, spec.family, image)
        total += len(boxes)
        assert_same(alone, boxes, *tolerances(name, engine_name, image))
        np.testing.assert_allclose(batched.xyxy, alone.xyxy, atol=0.01)
        np.testing.assert_allclose(batched.score, alone.score, atol=1e-4)
    assert total >= 5
