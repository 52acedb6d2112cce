"""The model that ships, in fp32 and INT8: what it declares, and that it finds person and face."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from sightline_engines.assets import SHIPPED_FILES
from sightline_engines.load import EngineName, load_engine
from sightline_engines.pipeline import DetectOptions, detect
from sightline_engines.recognise import recognise
from sightline_engines.types import Detections
from sightline_training.boxes import STRIDES, iou
from sightline_training.detectors import settle, yolox
from sightline_training.samples import LABELS, Sample, load

ASSETS = Path(__file__).parents[2] / "engines/sightline_engines/assets"
FILES = {precision: ASSETS / f"{name}.onnx" for precision, name in SHIPPED_FILES.items()}
MODEL = FILES["fp32"]
PRECISIONS = sorted(FILES)
NEAR = 0.1  # of the threshold: a box there may fall on either side of it
ENOUGH = 30  # pictures of each set


@pytest.mark.parametrize("precision", PRECISIONS)
def test_declared_shapes_and_names(precision: str) -> None:
    path = FILES[precision]
    assert path.stat().st_size <= 6 * 1024 * 1024
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {o.domain: o.version for o in model.opset_import}[""] == 17
    props = {p.key: p.value for p in model.metadata_props}
    assert props["names"] == str(dict(enumerate(LABELS)))
    assert props["license"] == "Apache-2.0"
    session = ort.InferenceSession(str(path))
    (image,), (output,) = session.get_inputs(), session.get_outputs()
    size = image.shape[2]
    cells = sum((size // stride) ** 2 for stride in STRIDES)
    assert image.shape == ["batch", 3, size, size]
    assert size <= 416
    assert output.shape == ["batch", cells, 5 + len(LABELS)]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_batch_gives_what_single_pictures_give(precision: str) -> None:
    session = ort.InferenceSession(str(FILES[precision]))
    size = session.get_inputs()[0].shape[2]
    pair = np.random.default_rng(0).uniform(0, 255, (2, 3, size, size)).astype(np.float32)
    both = session.run(None, {"images": pair})[0]
    alone = [session.run(None, {"images": one[None]})[0][0] for one in pair]
    np.testing.assert_allclose(both, np.stack(alone), atol=1e-3)
    assert both[..., 4:].min() >= 0
    assert both[..., 4:].max() <= 1


@pytest.mark.parametrize("precision", PRECISIONS)
def test_sidecar_names_this_file(precision: str) -> None:
    path = FILES[precision]
    sidecar = json.loads(path.with_suffix(".json").read_text("utf-8"))
    assert (sidecar["name"], sidecar["precision"]) == (path.stem, precision)
    assert sidecar["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sidecar["labels"] == list(LABELS)
    assert 0.2 <= sidecar["postprocess"]["conf"] <= 0.7
    assert recognise(path).sha256 == sidecar["sha256"]


def test_both_files_are_of_one_training() -> None:
    fp32, int8 = (json.loads(p.with_suffix(".json").read_text("utf-8")) for p in FILES.values())
    differing = {field for field in fp32 if fp32[field] != int8[field]}
    assert differing == {"name", "precision", "sha256"}


def test_int8_quantises_most_convolutions_and_is_smaller() -> None:
    kinds = [node.op_type for node in onnx.load(FILES["int8"]).graph.node]
    assert kinds.count("QuantizeLinear") > 20
    assert FILES["int8"].stat().st_size < MODEL.stat().st_size / 2


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


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_int8_finds_the_large_boxes_that_fp32_finds(engine: EngineName, shared_data: Path) -> None:
    samples = [s for name in ("coco", "faces") for s in load(shared_data, name, {}, held=True)]
    chosen = samples[:: max(1, len(samples) // (2 * ENOUGH))]
    conf = recognise(MODEL).postprocess.conf
    expected = _found(MODEL, "onnxruntime", chosen, conf)
    found = _found(FILES["int8"], engine, chosen, conf - NEAR)
    wanted = hits = 0
    for sample, one, other in zip(chosen, expected, found, strict=True):
        for box, label in zip(one.xyxy, one.class_id, strict=True):
            if box[3] - box[1] > sample.bgr.shape[0] / 4:
                overlap = iou(box[None], other.xyxy[other.class_id == label])
                hits += int(overlap.max(initial=0) >= 0.5)
                wanted += 1
    assert wanted > 20
    assert hits / wanted >= 0.95


def _found(path: Path, engine: EngineName, samples: list[Sample], conf: float) -> list[Detections]:
    options = DetectOptions(conf, 0.5)
    with closing(load_engine(recognise(path), engine, device="cpu", threads=2)) as loaded:
        return [detect(loaded, [sample.bgr], [options])[0][0] for sample in samples]
