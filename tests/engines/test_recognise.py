"""What a model file is taken for, and what is said about one that isn't supported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sightline_engines.errors import ModelFileError
from sightline_engines.labels import COCO_LABELS
from sightline_engines.layout import cells, family_of, grid_strides
from sightline_engines.recognise import recognise
from sightline_engines.sidecar import read_sidecar, sidecar_path, write_sidecar
from tests.engines.tiny import FAMILIES, constant_model, random_raw, save

ULTRALYTICS = {
    "task": "detect",
    "names": "{0: 'cat', 1: 'dog'}",
    "imgsz": "[64, 64]",
    "stride": "32",
    "license": "AGPL-3.0",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_told_by_its_shape_alone(tmp_path: Path, family: str) -> None:
    spec = recognise(constant_model(tmp_path / "mine.onnx", random_raw(family, 3)))
    assert (spec.name, spec.family) == ("mine", family)
    assert spec.labels == (() if family == "end2end" else ("class_0", "class_1", "class_2"))
    assert spec.notes
    assert spec.input_size_wh == (64, 64)
    yolox = family == "yolox"
    assert (spec.preprocess.color, spec.preprocess.scale) == (
        ("bgr", 1.0) if yolox else ("rgb", 1 / 255)
    )
    assert spec.preprocess.letterbox == ("topleft" if yolox else "centre")


@pytest.mark.parametrize(
    ("shape", "size_wh", "family"),
    [
        ((1, 3549, 85), (416, 416), "yolox"),
        ((1, 10647, 85), (416, 416), "yolov5"),
        ((1, 25200, 6), (640, 640), "yolov5"),
        ((1, 8400, 85), (640, 640), "yolox"),
        ((1, 84, 8400), (640, 640), "yolov8"),
        ((1, 5, 8400), (640, 640), "yolov8"),
        ((None, 84, 3780), (640, 288), "yolov8"),
        ((1, 300, 6), (640, 640), "end2end"),
        ((1, 100, 6), (320, 320), "end2end"),
    ],
)
def test_known_exports_are_recognised(
    shape: tuple[int | None, ...], size_wh: tuple[int, int], family: str
) -> None:
    assert family_of(shape, size_wh, None, False, "m.onnx") == family


@pytest.mark.parametrize(
    ("shape", "size_wh", "classes", "says"),
    [
        ((1, 8400, 84), (640, 640), 80, "79 classes, but 80 labels"),  # YOLOv8 turned over
        ((1, 84, 84), (64, 64), None, "could be yolox or yolov8"),
        ((1, 300, 84), (640, 640), None, "none of the supported heads"),  # RT-DETR
        ((1, None, 85), (640, 640), None, "leaves its output's size open"),
        ((1, 116, 8400), (640, 640), 80, "112 classes, but 80 labels"),  # masks
    ],
)
def test_what_is_ambiguous_or_unknown_is_refused_with_the_choices(
    shape: tuple[int | None, ...], size_wh: tuple[int, int], classes: int | None, says: str
) -> None:
    with pytest.raises(ModelFileError, match=says) as caught:
        family_of(shape, size_wh, classes, False, "m.onnx")
    assert "m.json" in str(caught.value)
    assert "yolov8 [N, 4+C," in str(caught.value)


def test_the_grid_is_known_by_its_number_of_cells() -> None:
    assert grid_strides((640, 640), 8400) == (8, 16, 32)
    assert grid_strides((1280, 1280), cells((1280, 1280), (8, 16, 32, 64))) == (8, 16, 32, 64)
    assert grid_strides((640, 640), 8401) is None


def test_ultralytics_metadata_is_read(tmp_path: Path) -> None:
    raw = random_raw("yolov8", 2)
    spec = recognise(constant_model(tmp_path / "m.onnx", raw, metadata=ULTRALYTICS))
    assert spec.labels == ("cat", "dog")
    assert spec.licence == "AGPL-3.0"
    assert spec.notes == ()


def test_a_size_left_open_is_taken_from_metadata_height_first(tmp_path: Path) -> None:
    path = constant_model(
        tmp_path / "m.onnx",
        random_raw("end2end", 2),
        size_wh=("w", "h"),
        metadata={"imgsz": "[64, 96]", "end2end": "True"},
    )
    assert recognise(path).input_size_wh == (96, 64)


def test_a_size_nobody_names_is_640_and_says_so(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "m.onnx", random_raw("end2end", 2), size_wh=("w", "h"))
    spec = recognise(path)
    assert spec.input_size_wh == (640, 640)
    assert "640x640 assumed" in spec.notes[0]


def test_eighty_classes_without_names_are_cocos_and_it_says_so(tmp_path: Path) -> None:
    raw = np.zeros((84, 4 * 84))
    spec = recognise(constant_model(tmp_path / "m.onnx", raw, size_wh=(128, 128)))
    assert spec.labels == COCO_LABELS
    assert len(COCO_LABELS) == 80
    assert "COCO" in spec.notes[0]


def test_a_decoded_yolox_is_read_as_yolov5_with_yolox_pictures(tmp_path: Path) -> None:
    raw = random_raw("yolox", 3).astype(np.float32)
    nodes = [
        helper.make_node("Exp", ["raw"], ["output0"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, {"raw": raw[None]}, [1, 3, 64, 64], [1, *raw.shape])
    spec = recognise(path)
    assert (spec.family, spec.preprocess.color, spec.preprocess.scale) == ("yolov5", "bgr", 1.0)


@pytest.mark.parametrize("task", ["segment", "pose", "classify", "obb"])
def test_other_tasks_are_refused_by_name(tmp_path: Path, task: str) -> None:
    raw = random_raw("yolov8", 2)
    path = constant_model(tmp_path / "m.onnx", raw, metadata={**ULTRALYTICS, "task": task})
    with pytest.raises(ModelFileError, match=f"task '{task}'; supported is 'detect'"):
        recognise(path)


def test_precision_is_read_from_the_graph(tmp_path: Path) -> None:
    raw = random_raw("yolov8", 2)
    assert recognise(constant_model(tmp_path / "a.onnx", raw)).precision == "fp32"
    path = constant_model(tmp_path / "b.onnx", raw, kind="float16")
    assert recognise(path).precision == "fp16"


# --- files that are refused -----------------------------------------------------------------


def written(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def tiny(tmp_path: Path) -> onnx.ModelProto:
    return onnx.load(constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2)))


def test_weights_in_another_file_are_refused_before_any_runtime(tmp_path: Path) -> None:
    model = tiny(tmp_path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../../etc/passwd"
    with pytest.raises(ModelFileError, match=r"external data.*not accepted"):
        recognise(written(tmp_path / "m.onnx", model))


def test_external_data_deep_inside_a_branch_is_refused_too(tmp_path: Path) -> None:
    model = tiny(tmp_path)
    hidden = helper.make_tensor("hidden", TensorProto.FLOAT, [1], [1.0])
    hidden.data_location = TensorProto.EXTERNAL
    branch = helper.make_graph([helper.make_node("Constant", [], ["x"], value=hidden)], "b", [], [])
    model.graph.node.append(
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    )
    with pytest.raises(ModelFileError, match="'hidden'"):
        recognise(written(tmp_path / "m.onnx", model))


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("m.pt", b"PK", "not an ONNX file. Export"),
        ("m.onnx", b"", "holds no ONNX graph"),
        ("m.onnx", b"<html>404</html>", "not a readable ONNX file|holds no ONNX graph"),
    ],
)
def test_what_is_no_onnx_is_refused(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelFileError, match=says):
        recognise(tmp_path / name)


def test_a_file_cut_off_halfway_is_refused(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelFileError):
        recognise(path)


def test_a_missing_file_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"nowhere\.onnx can't be read: No such file"):
        recognise(tmp_path / "nowhere.onnx")


def test_an_old_opset_is_refused_with_the_newer_ones(tmp_path: Path) -> None:
    model = tiny(tmp_path)
    model.opset_import[0].version = 6
    with pytest.raises(ModelFileError, match="opset 6; supported are 7 and newer"):
        recognise(written(tmp_path / "m.onnx", model))


@pytest.mark.parametrize("dims", [[1, 64, 64, 3], [1, 1, 64, 64], [1, 3, 64]])
def test_an_input_that_is_no_picture_is_refused(tmp_path: Path, dims: list[int]) -> None:
    model = tiny(tmp_path)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("images", TensorProto.FLOAT, dims))
    with pytest.raises(ModelFileError, match=r"supported is float32 or float16 \[N, 3,"):
        recognise(written(tmp_path / "m.onnx", model))


def test_separate_scores_and_boxes_are_refused_in_one_clear_sentence(weights: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        recognise(weights / "version-RFB-320.onnx")
    text = str(caught.value)
    assert "'scores' float [1, 4420, 2]" in text
    assert "SSD style" in text


# --- the sidecar -----------------------------------------------------------------------------


def test_a_sidecar_overrides_what_the_file_says(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2), metadata=ULTRALYTICS)
    sidecar_path(path).write_text(
        json.dumps(
            {
                "name": "pets",
                "version": "3",
                "labels": ["Katze", "Hund"],
                "preprocess": {"pad": 0},
                "postprocess": {"conf": 0.5},
            }
        )
    )
    spec = recognise(path)
    assert (spec.name, spec.version, spec.labels) == ("pets", "3", ("Katze", "Hund"))
    assert (spec.preprocess.pad, spec.preprocess.color) == (0, "rgb")
    assert (spec.postprocess.conf, spec.postprocess.iou) == (0.5, 0.45)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sidecar_that_was_written_reads_back_the_same(tmp_path: Path, family: str) -> None:
    spec = recognise(constant_model(tmp_path / "m.onnx", random_raw(family, 2)))
    assert write_sidecar(spec) == tmp_path / "m.json"
    again = recognise(tmp_path / "m.onnx")
    assert again.notes[-len(spec.notes) :] == spec.notes
    for name in ("name", "family", "labels", "version", "preprocess", "postprocess", "sha256"):
        assert getattr(again, name) == getattr(spec, name)


@pytest.mark.parametrize(
    "names", ["{0: '\\ud800', 1: 'b'}", "['a\\0', 'b']", f"['a', '{'b' * 201}']"]
)
def test_labels_that_cannot_be_shown_are_refused(tmp_path: Path, names: str) -> None:
    raw = random_raw("yolov8", 2)
    path = constant_model(tmp_path / "m.onnx", raw, metadata=ULTRALYTICS | {"names": names})
    with pytest.raises(ModelFileError, match=r"label of class \d in m.onnx"):
        recognise(path)


def test_what_metadata_says_is_made_fit_to_be_shown(tmp_path: Path) -> None:
    said = ULTRALYTICS | {"names": "[' a\\n', 7]", "license": "a\0b", "description": "x" * 5000}
    spec = recognise(constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2), metadata=said))
    assert (spec.labels, spec.licence, len(spec.source)) == (("a", "7"), "a?b", 2000)
    huge = said | {"names": "[0x" + "f" * 5000 + ", 'b']"}
    spec = recognise(constant_model(tmp_path / "n.onnx", random_raw("yolov8", 2), metadata=huge))
    assert spec.labels == ("class_0", "class_1")


def test_a_model_without_a_sidecar_has_an_empty_one(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "can't be read"),
        ("[]", "one JSON object"),
        ('{"colour": 1}', "unknown fields colour; known are engine, family"),
        ('{"labels": "person"}', "labels must be a list of texts"),
        ('{"input_size_wh": [0, 64]}', "input_size_wh must be"),
        ('{"name": 7}', "name must be text"),
        ('{"preprocess": {"color": "hsv"}}', "preprocess.color must be bgr or rgb"),
        ('{"preprocess": {"scale": 0}}', "preprocess.scale must be a number above 0"),
        ('{"preprocess": {"mean": 0}}', "preprocess must be an object with color"),
        ('{"postprocess": {"conf": 2}}', "postprocess.conf must be a number from 0 to 1"),
        ('{"postprocess": {"max_detections": true}}', "must be a whole number"),
        ('{"family": "yolo99"}', "family 'yolo99'; known are yolox"),
        ('{"task": "segment"}', "task 'segment'"),
        ('{"sha256": "00"}', "another file"),
        ('{"labels": ["one"]}', "2 classes, but 1 labels"),
        ('{"input_size_wh": [128, 128]}', "the file is fixed at"),
        ('{"labels": ["\\ud800", "b"]}', "labels must be a list of texts"),
        ('{"labels": ["\\u0000", "b"]}', "labels must be a list of texts"),
        ('{"labels": ["a", "\\u202eb"]}', "labels must be a list of texts"),
        (f'{{"labels": ["a", "{"b" * 201}"]}}', "labels must be a list of texts"),
        ('{"notes": ["\\ud800"]}', "notes must be a list of texts"),
        ('{"version": "\\ud800"}', "version must be text"),
        ('{"precision": "fp8"}', "precision must be one of fp32, fp16, int8"),
        ('{"\\ud800": 1}', "unknown fields [?];"),
    ],
)
def test_a_wrong_sidecar_is_refused_by_its_field(tmp_path: Path, text: str, says: str) -> None:
    path = constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2))
    sidecar_path(path).write_text(text)
    with pytest.raises(ModelFileError, match=says):
        recognise(path)


def test_what_a_sidecar_says_at_too_great_length_is_cut(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2))
    said = {"licence": "x" * 201, "source": "y" * 2001, "precision": "FP16", "notes": ["a\u00adb"]}
    sidecar_path(path).write_text(json.dumps(said))
    spec = recognise(path)
    assert (spec.licence, spec.source) == ("x" * 200, "y" * 2000)
    assert spec.precision == "fp16"
    assert spec.notes[-1] == "ab"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("yolox_nano", ("yolox", (416, 416), 80, "fp32", 1)),
        ("yolov8n_int8", ("yolov8", (640, 640), 80, "int8", 1)),
        ("yolo26n_int8", ("end2end", (640, 640), 80, "int8", 1)),
        ("yolov5n_face", ("yolov5", (640, 640), 1, "fp32", 1)),
    ],
)
def test_real_weights_are_recognised(weights: Path, name: str, expected: tuple[Any, ...]) -> None:
    spec = recognise(weights / f"{name}.onnx")
    found = (spec.family, spec.input_size_wh, len(spec.labels), spec.precision, spec.static_batch)
    assert found == expected
