"""Teachers give trust to what they are sure of and leave the rest alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sightline_training.boxes import Array
from sightline_training.detectors import rfb, yolox
from sightline_training.samples import Picture, held_out, read_picture, truths
from sightline_training.teachers import (
    ON_PERSON,
    are_current,
    covered,
    label_sets,
    read_labels,
    teach,
)


def test_sure_and_unsure_finds() -> None:
    def finder(bgr: Picture) -> Array:
        return np.asarray(
            [[10, 10, 30, 30, 1, 0.9], [60, 10, 80, 30, 1, 0.5], [1, 1, 9, 9, 1, 0.1]], np.float32
        )

    rows = teach(np.zeros((40, 200, 3), np.uint8), finder, sure=0.7, unsure=0.3)
    # Four: the finder answers the same for the mirrored picture.
    assert rows[:, 5].tolist() == np.asarray([0.9, 0.9, 0, 0], np.float32).tolist()
    assert sorted(rows[:, 0].tolist()) == [10, 60, 120, 170]


@pytest.mark.parametrize(
    ("persons", "share"),
    [([], 0.0), ([[0, 0, 100, 100]], 1.0), ([[0, 0, 15, 100], [50, 50, 60, 60]], 0.5)],
)
def test_share_of_a_face_that_lies_on_a_person(persons: list[list[float]], share: float) -> None:
    face = np.asarray([[10, 10, 20, 20, 1, 0.9]], np.float32)
    others = np.asarray(persons, np.float32).reshape(-1, 4)
    assert covered(face, others).tolist() == pytest.approx([share])


def test_a_face_counts_only_on_a_drawn_person(shared_data: Path, tmp_path: Path) -> None:
    data = _few_pictures(shared_data, tmp_path / "data", 6)
    weights = shared_data / "weights"
    path = tmp_path / "labels.json"
    label_sets(data, weights / "yolox_nano.onnx", weights / "version-RFB-320.onnx", path)
    assert are_current(path, weights / "yolox_nano.onnx", weights / "version-RFB-320.onnx")
    assert not are_current(path, weights / "yolox_nano.onnx", weights / "yolox_nano.onnx")
    assert not are_current(tmp_path / "none", weights / "a.onnx", weights / "b.onnx")
    drawn = truths(data, "coco")
    faces = read_labels(path, "coco")
    assert sum(map(len, faces.values())) > 0
    for file, rows in faces.items():
        persons = drawn[file][drawn[file][:, 4] == 0]
        assert (covered(rows, persons) >= ON_PERSON).all()


def _few_pictures(source: Path, target: Path, count: int) -> Path:
    """Lay out a small set: training pictures with a person and without, as the real one lies."""
    for name, folder in (("faces", "faces"), ("coco", "coco/annotations")):
        (target / folder).mkdir(parents=True)
        (target / name / "images").symlink_to(source / name / "images")
        content = json.loads((source / folder / "instances.json").read_text("utf-8"))
        aside = held_out(name)
        images = [i for i in content["images"] if i["file_name"] not in aside]
        with_person = {a["image_id"] for a in content["annotations"] if a["category_id"] == 1}
        images.sort(key=lambda image: image["id"] not in with_person)
        content["images"] = images[:count] + images[-count:]
        (target / folder / "instances.json").write_text(json.dumps(content), "utf-8")
    return target


def test_real_teachers_agree_with_drawn_labels(shared_data: Path) -> None:
    name = sorted(held_out("faces"))[0]
    bgr = read_picture(shared_data / "faces/images" / name)
    for detector, label in (
        (yolox(shared_data / "weights/yolox_nano.onnx", {0: 0}), 0),
        (rfb(shared_data / "weights/version-RFB-320.onnx"), 1),
    ):
        rows = teach(bgr, detector, sure=0.3, unsure=0.1)
        assert rows.shape[1] == 6
        assert (rows[:, 4] == label).all()
        assert rows[:, :4].min(initial=0) >= 0
