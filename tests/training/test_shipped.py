"""The model that ships: what it declares, and that it finds a person and a face."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from sightline_training.boxes import STRIDES, iou
from sightline_training.detectors import settle, yolox
from sightline_training.publish import NAME, publish
from sightline_training.samples import LABELS, load

ASSETS = Path(__file__).parents[2] / "engines/sightline_engines/assets"
MODEL = ASSETS / f"{NAME}.onnx"


def test_declared_shapes_and_names() -> None:
    assert MODEL.stat().st_size <= 6 * 1024 * 1024
    model = onnx.load(MODEL)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == 17
    props = {p.key: p.value for p in model.metadata_props}
    assert props["names"] == str(dict(enumerate(LABELS)))
    assert props["license"] == "Apache-2.0"
    session = ort.InferenceSession(str(MODEL))
    (image,), (output,) = session.get_inputs(), session.get_outputs()
    size = image.shape[2]
    cells = sum((size // stride) ** 2 for stride in STRIDES)
    assert image.shape == ["batch", 3, size, size]
    assert size <= 416
    assert output.shape == ["batch", cells, 5 + len(LABELS)]


def test_batch_gives_what_single_pictures_give() -> None:
    session = ort.InferenceSession(str(MODEL))
    size = session.get_inputs()[0].shape[2]
    pair = np.random.default_rng(0).uniform(0, 255, (2, 3, size, size)).astype(np.float32)
    both = session.run(None, {"images": pair})[0]
    alone = [session.run(None, {"images": one[None]})[0][0] for one in pair]
    np.testing.assert_allclose(both, np.stack(alone), atol=1e-3)
    assert both[..., 4:].min() >= 0
    assert both[..., 4:].max() <= 1


def test_sidecar_names_this_file() -> None:
    sidecar = json.loads(MODEL.with_suffix(".json").read_text("utf-8"))
    assert sidecar["sha256"] == hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert sidecar["labels"] == list(LABELS)
    assert 0.2 <= sidecar["postprocess"]["conf"] <= 0.7


def test_publishing_replaces_both_files(tmp_path: Path) -> None:
    published = publish(MODEL, tmp_path, 0.33)
    sidecar = json.loads(published.with_suffix(".json").read_text("utf-8"))
    assert published.read_bytes() == MODEL.read_bytes()
    assert sidecar["postprocess"]["conf"] == 0.33
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".onnx"]


@pytest.mark.parametrize(("name", "label"), [("coco", 0), ("faces", 1)])
def test_finds_most_large_boxes_of_held_out_pictures(
    name: str, label: int, shared_data: Path
) -> None:
    detector = yolox(MODEL, dict(enumerate(range(len(LABELS)))))
    sidecar = json.loads(MODEL.with_suffix(".json").read_text("utf-8"))
    hits = wanted = 0
    for sample in load(shared_data, name, {}, held=True)[:60]:
        rows = settle(detector(sample.bgr), 0.5, sidecar["postprocess"]["conf"])
        boxes = sample.boxes[(sample.boxes[:, 4] == label) & (sample.boxes[:, 5] > 0)]
        large = boxes[boxes[:, 3] - boxes[:, 1] > sample.bgr.shape[0] / 4]
        overlap = iou(large[:, :4], rows[rows[:, 4] == label, :4])
        hits += int((overlap.max(1, initial=0) > 0.5).sum())
        wanted += len(large)
    assert wanted > 10
    assert hits / wanted > 0.7
