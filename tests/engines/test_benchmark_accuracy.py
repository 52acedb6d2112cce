"""Accuracy: as an independent script measures it, the same on each engine, and its edges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from sightline_engines.benchmark.accuracy import matched_classes, measure_accuracy
from sightline_engines.benchmark.cells import Accuracy
from sightline_engines.benchmark.dataset import Box, Dataset, DatasetError, read_dataset
from sightline_engines.benchmark.labelled import LabelledPicture, signed
from sightline_engines.benchmark.run import measure_one
from sightline_engines.load import EngineName, load_engine
from sightline_engines.recognise import recognise
from sightline_engines.types import ModelSpec
from tests.engines.coco_script import yolox_map
from tests.engines.tiny import constant_model

COUNT = 60


@pytest.fixture(scope="module")
def dataset(shared_data: Path) -> Dataset:
    return read_dataset(shared_data / "coco").most(COUNT)


@pytest.fixture(scope="module")
def found(dataset: Dataset, weights: Path) -> dict[str, Accuracy]:
    spec = recognise(weights / "yolox_nano.onnx")
    names: tuple[EngineName, ...] = ("onnxruntime", "openvino")
    figures: dict[str, Accuracy] = {}
    for name in names:
        engine = load_engine(spec, name, device="cpu", threads=2)
        figures[name] = measure_accuracy(engine, dataset)
        engine.close()
    return figures


def test_it_is_what_an_independent_script_finds(
    found: dict[str, Accuracy], dataset: Dataset, weights: Path, shared_data: Path
) -> None:
    ids = [int(picture.path.stem) for picture in dataset.pictures]
    expected = yolox_map(weights / "yolox_nano.onnx", shared_data / "coco", ids)
    mine = found["onnxruntime"]
    assert (mine.map50_95, mine.map50) == pytest.approx(expected, abs=0.001)


def test_engines_agree_at_fp32(found: dict[str, Accuracy]) -> None:
    first, second = found.values()
    assert first.map50_95 == pytest.approx(second.map50_95, abs=0.002)
    assert first.map50 == pytest.approx(second.map50, abs=0.002)
    assert Accuracy.from_dict(first.to_dict()) == first


def test_the_mean_is_over_the_classes_that_have_boxes(
    found: dict[str, Accuracy], dataset: Dataset
) -> None:
    rows = found["onnxruntime"].per_class
    known = [row.ap50_95 for row in rows.values() if row.ap50_95 is not None]
    assert np.mean(known) == pytest.approx(found["onnxruntime"].map50_95)
    assert len(known) < len(rows) == 80
    assert all((row.boxes > 0) == (row.ap50 is not None) for row in rows.values())
    assert sum(row.boxes for row in rows.values()) <= dataset.boxes


def boxed(tmp_path: Path, labels: tuple[str, ...], xyxy: tuple[float, ...]) -> ModelSpec:
    """Return a model that always answers one box of its first class, in a 64x64 picture."""
    raw = np.array([[*xyxy, 0.9, 0]])
    return replace(recognise(constant_model(tmp_path / "m.onnx", raw)), labels=labels)


def one_picture(tmp_path: Path, classes: tuple[str, ...], *boxes: Box) -> Dataset:
    path = tmp_path / "p.png"
    cv2.imwrite(str(path), np.zeros((64, 64, 3), np.uint8))
    return signed(Dataset("tiny", "coco", classes, (LabelledPicture(path, (64, 64), boxes),)))


HERE = (8.0, 8.0, 40.0, 40.0)


@pytest.mark.parametrize(
    ("xyxy", "map50"), [((70.0, 70.0, 80.0, 80.0), 0.0), ((0.0, 0.0, 4.0, 4.0), 0.0), (HERE, 1.0)]
)
def test_names_decide_which_class_is_which(
    xyxy: tuple[float, ...], map50: float, tmp_path: Path
) -> None:
    truth = one_picture(
        tmp_path, ("dog", "Person"), Box(HERE, 1, 1024), Box(HERE, 0, 1024), Box(HERE, 1, 1, True)
    )
    engine = load_engine(boxed(tmp_path, ("person",), xyxy), "onnxruntime", device="cpu")
    accuracy = measure_accuracy(engine, truth)
    engine.close()
    assert (accuracy.map50, accuracy.map50_95) == pytest.approx((map50, map50))
    assert accuracy.left_out == ("dog",)
    assert list(accuracy.per_class) == ["Person"]
    assert accuracy.per_class["Person"].boxes == 1


@pytest.mark.parametrize(
    ("labels", "classes", "pairs"),
    [
        (("a",), ("A ",), {0: 0}),
        (("b", "a"), ("a", "c", "b"), {0: 2, 1: 0}),
        (("x", "a"), ("a",), {1: 0}),
    ],
)
def test_classes_are_matched_whatever_their_case(
    labels: tuple[str, ...], classes: tuple[str, ...], pairs: dict[int, int]
) -> None:
    assert matched_classes(labels, Dataset("d", "coco", classes, ())) == pairs


@pytest.mark.parametrize("boxes", [(), (Box(HERE, 0, 1024),), (Box(HERE, 1, 1024, True),)])
def test_pictures_without_a_box_to_find_give_no_accuracy(
    boxes: tuple[Box, ...], tmp_path: Path
) -> None:
    truth = one_picture(tmp_path, ("dog", "person"), *boxes)
    spec = boxed(tmp_path, ("person",), HERE)
    engine = load_engine(spec, "onnxruntime", device="cpu")
    with pytest.raises(DatasetError, match=r"None of the 1 pictures of tiny .*\(person\)"):
        measure_accuracy(engine, truth)
    engine.close()
    with pytest.raises(DatasetError, match="nothing to find"):
        measure_one(spec, "onnxruntime", "cpu", truth)


@pytest.mark.parametrize("labels", [(), ("motorbike", "sofa"), tuple(map(str, range(50)))])
def test_no_class_in_common_is_an_error_that_lists_both(labels: tuple[str, ...]) -> None:
    with pytest.raises(DatasetError, match="share no class") as caught:
        matched_classes(labels, Dataset("d", "coco", ("motorcycle", "couch"), ()))
    assert "motorcycle" in caught.value.message
    assert all(label in caught.value.message for label in labels[:12])
