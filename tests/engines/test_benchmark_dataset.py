"""Labelled data sets: what is read, and what is refused with the place named."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_engines.benchmark.accuracy import classes_to_find
from sightline_engines.benchmark.dataset import DatasetError, read_dataset

Document = dict[str, Any]


def picture(path: Path, width: int = 40, height: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


def document() -> Document:
    return {
        "images": [
            {"id": 7, "file_name": "b.jpg", "width": 40, "height": 20},
            {"id": 3, "file_name": "a.jpg", "width": 40, "height": 20},
        ],
        "categories": [{"id": 9, "name": "car"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 9, "bbox": [1, 2, 10, 5]},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 4, 4], "iscrowd": 1,
             "area": 7},
        ],
    }  # fmt: skip


def coco(folder: Path, data: object) -> Path:
    for name in ("a.jpg", "b.jpg"):
        picture(folder / "images" / name)
    target = folder / "annotations" / "instances.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(data if isinstance(data, str) else json.dumps(data))
    return target


def yolo(folder: Path, labels: str = "1 0.5 0.5 0.5 0.5\n", names: str = "a\nb\n") -> Path:
    picture(folder / "images" / "a.jpg")
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text(labels)
    (folder / "classes.txt").write_text(names)
    return folder


def test_a_coco_folder_and_its_json_are_the_same_data_set(tmp_path: Path) -> None:
    path = coco(tmp_path, document())
    found = read_dataset(tmp_path)
    assert found.classes == ("person", "car")
    assert [p.path.name for p in found.pictures] == ["a.jpg", "b.jpg"]
    first, second = found.pictures[1].boxes
    assert first.xyxy == (1.0, 2.0, 11.0, 7.0)
    assert first.class_id == 1
    assert first.area == 50
    assert second.crowd
    assert second.area == 7
    assert found.boxes == 2
    assert not found.missing
    assert read_dataset(path).sha256 == found.sha256
    assert found.most(1).sha256 != found.sha256
    assert len(found.most(1).pictures) == 1
    assert found.most(None) is found.most(5)


def test_missing_pictures_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    data = document()
    data["images"] += [{"id": 8, "file_name": "gone.jpg"}]
    data["images"][0]["width"] = 41
    data["images"] += [{"id": 9, "file_name": "c.jpg"}]
    data["annotations"] = [dict(data["annotations"][0], image_id=9)]
    picture(tmp_path / "images" / "c.jpg")
    coco(tmp_path, data)
    found = read_dataset(tmp_path)
    assert len(found.pictures) == 2
    assert [entry.split(":")[0] for entry in found.missing] == ["b.jpg", "gone.jpg"]
    assert "41x20" in found.missing[0]


def no_pictures(data: Document) -> None:
    data["images"] = []
    data["annotations"] = []


def only_crowds(data: Document) -> None:
    data["annotations"] = data["annotations"][1:]


def most_missing(data: Document) -> None:
    for row in data["images"]:
        row["file_name"] = "no" + row["file_name"]


def setting(key: str, name: str, value: object) -> Callable[[Document], None]:
    def change(data: Document) -> None:
        data[key][0][name] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (no_pictures, "0 pictures"),
        (most_missing, "nob.jpg"),
        (lambda data: data.pop("images"), "no list 'images'"),
        (lambda data: data["images"].append(3), r"images\[2\] must be an object"),
        (setting("images", "id", 3), "no other picture"),
        (setting("images", "file_name", "../secret.jpg"), "leads out"),
        (setting("images", "file_name", "/etc/passwd"), "leads out"),
        (setting("images", "file_name", "C:\\x.jpg"), "leads out"),
        (setting("images", "file_name", "link.jpg"), "leads out"),
        (setting("images", "file_name", 3), "must be text"),
        (setting("annotations", "bbox", [1, 2, 3]), r"annotations\[0\]: bbox"),
        (setting("annotations", "bbox", [1, 2, -3, 4]), "-3 wide"),
        (setting("annotations", "bbox", [1, 2, float("nan"), 4]), "bbox"),
        (setting("annotations", "bbox", [1, 2, True, 4]), "bbox"),
        (setting("annotations", "area", "much"), "area"),
        (setting("annotations", "category_id", 5), "category_id 5"),
        (setting("annotations", "category_id", [9]), "category_id"),
        (setting("annotations", "image_id", 99), "picture 99"),
        (setting("categories", "name", " "), r"categories\[0\]"),
        (setting("categories", "name", "\u00ad"), r"categories\[0\]"),
        (setting("categories", "id", 1), "another category"),
        (setting("categories", "name", "\ud800"), "printed"),
        (setting("categories", "name", "a\0"), "printed"),
        (setting("categories", "name", "x" * 201), "200 characters"),
        (setting("annotations", "bbox", [10**400, 2, 3, 4]), "bbox"),
        (setting("annotations", "area", 10**400), "area"),
        (setting("annotations", "category_id", "x" * 5000), "category_id"),
        (lambda data: data["categories"].extend({"id": n} for n in range(20_000)), "10000"),
    ],
)
def test_broken_coco_labels_are_refused_with_their_place(
    change: Callable[[Document], None], said: str, tmp_path: Path
) -> None:
    data = document()
    change(data)
    coco(tmp_path, data)
    picture(tmp_path / "outside.jpg")
    (tmp_path / "images" / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    with pytest.raises(DatasetError, match=said) as raised:
        read_dataset(tmp_path)
    assert len(raised.value.message) <= 1000
    raised.value.message.encode()


@pytest.mark.parametrize("name", ["\ud800", "x" * 5000, "\u202eb.jpg"])
def test_a_picture_whose_name_cannot_be_shown_is_missing(name: str, tmp_path: Path) -> None:
    data = document()
    setting("images", "file_name", name)(data)
    found = read_dataset(coco(tmp_path, data))
    assert len(found.pictures) == len(found.missing) == 1
    assert found.missing[0].endswith("no file's name.") or len(found.missing[0]) == 300
    found.missing[0].encode()


def test_a_picture_that_is_listed_twice_counts_once_and_is_said(tmp_path: Path) -> None:
    data = document()
    data["images"].append({"id": 1, "file_name": "./b.jpg"})
    data["annotations"].append({"image_id": 1, "category_id": 9, "bbox": [0, 0, 1, 1]})
    found = read_dataset(coco(tmp_path, data))
    assert [picture.path.name for picture in found.pictures] == ["a.jpg", "b.jpg"]
    assert found.boxes == 2
    assert found.notes == ("Pictures that are listed twice count once, as the first: 1.",)


@pytest.mark.parametrize("change", [lambda data: data["annotations"].clear(), only_crowds])
def test_pictures_without_boxes_are_a_data_set_that_no_accuracy_is_measured_on(
    change: Callable[[Document], None], tmp_path: Path
) -> None:
    data = document()
    change(data)
    found = read_dataset(coco(tmp_path, data))
    assert len(found.paths) == 2
    with pytest.raises(DatasetError, match="beside the pictures"):
        classes_to_find(["car", "person"], found)


def test_a_json_of_empty_lists_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = coco(tmp_path, '{"images": [' + "[]," * 300_000 + "[]]}")
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match="300003 lists"):
            read_dataset(path)
        assert tracemalloc.get_traced_memory()[1] < 8 * path.stat().st_size
    finally:
        tracemalloc.stop()
    with pytest.raises(DatasetError, match="larger than 0 MiB"):
        read_dataset(path, max_label_bytes=100)


def test_a_picture_of_many_bytes_is_not_read(tmp_path: Path) -> None:
    coco(tmp_path, document())
    with (tmp_path / "images" / "a.jpg").open("r+b") as file:
        file.truncate(2**31)
    tracemalloc.start()
    try:
        assert "bytes" in read_dataset(tmp_path).missing[0]
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "line 1"), ("{\n  broken", "line 2"), ("[]", "one JSON object"), ("[" * 100_000, "read")],
)
def test_a_file_that_is_no_json_object_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=said):
        read_dataset(coco(tmp_path, text))


def test_a_yolo_folder_gives_boxes_in_pixels(tmp_path: Path) -> None:
    outline = "0 0.1 0.1 0.3 0.1 0.2 0.4\n"
    found = read_dataset(yolo(tmp_path, "1 0.5 0.5 0.5 0.5\n\n" + outline))
    box, polygon = found.pictures[0].boxes
    assert found.format == "yolo"
    assert found.classes == ("a", "b")
    assert box.xyxy == (10.0, 5.0, 30.0, 15.0)
    assert box.class_id == 1
    assert box.area == 200
    assert polygon.xyxy == pytest.approx((4, 2, 12, 8))


def test_a_picture_without_labels_has_nothing_and_labels_without_one_are_missing(
    tmp_path: Path,
) -> None:
    yolo(tmp_path)
    picture(tmp_path / "images" / "empty.png")
    (tmp_path / "labels" / "gone.txt").write_text("0 0.5 0.5 1 1")
    found = read_dataset(tmp_path)
    assert [len(p.boxes) for p in found.pictures] == [1, 0]
    assert found.missing[0].startswith("gone")


@pytest.mark.parametrize(
    "described",
    [
        "names: [a, b]\nval: images\n",
        "names: {0: a, 1: b}\npath: /somewhere/else\ntrain: missing\nval: ../images\n",
        "names:\n  0: a\n  1: b\ntrain: [images]\n",
        "names: [a, b]\npath: .\nval: .\n",
    ],
)
def test_data_yaml_names_classes_and_the_split(described: str, tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "data.yaml").write_text(described)
    found = read_dataset(tmp_path)
    assert found.classes == ("a", "b")
    assert found.boxes == 1
    assert read_dataset(tmp_path / "data.yaml").sha256 == found.sha256


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ("", "must hold"),
        ("names: [a", "line 1"),
        ("names: 3\nval: images", "list the classes"),
        ("names: [a, a]\nval: images", "of its own"),
        ("names: {1: a}\nval: images", "run from 0"),
        ("names: [a, b]", "names none of"),
        ("names: [a, b]\nval: 3", "no folder below"),
        ("names: [a, b]\nval: {a: b}", "folder of pictures"),
        ("names: [a, b]\nval: ../../etc", "leads out"),
        ("names: [a, b]\nval: /etc", "leads out"),
        ("names: [a, b]\nval: nowhere", "no folder below"),
        ("names: [a, b]\nval: out", "no folder below"),
        ("names: !!python/object/apply:os.system [ls]\nval: images", "line 1"),
        ("names: [&a x, *a]\nval: images", "aliases"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b]\nval: images", "aliases"),
        ("names: [[a, b], c]\nval: images", "one text"),
        ('names: ["\\ud800", b]\nval: images', "printed"),
        ('names: ["\\0", b]\nval: images', "printed"),
        (f"names: [{'x' * 201}, b]\nval: images", "200 characters"),
        (f"names: [{'9' * 5000}, b]\nval: images", "200 characters"),
        (f"names: [{', '.join(map(str, range(10_001)))}]\nval: images", "10000 classes"),
        ("x: 2024-13-45\nnames: [a, b]\nval: nowhere", "no folder below"),
        ("x: !!float abc\ny: !!timestamp foo\nz: !!bool foo\nnames: [a]\nval: no", "no folder"),
        (f"names: [a, b]\nval: {'y' * 5000}", "can't be read: OSError"),
        (f"names: [a, b]\nval: [{', '.join(['images'] * 101)}]", "100 folders"),
        ("names: [a, b]\nval: images # " + "y" * 2**20, "longer than"),
    ],
)
def test_a_broken_data_yaml_is_refused(described: str, said: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    yolo(folder)
    picture(tmp_path / "out" / "x.jpg")
    (folder / "out").symlink_to(tmp_path / "out")
    (folder / "data.yaml").write_text(described)
    with pytest.raises(DatasetError, match=said) as raised:
        read_dataset(folder)
    assert len(raised.value.message) <= 1000


def test_a_class_keeps_the_name_that_is_written(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "data.yaml").write_text("train: null\nval: images\nnames: {0: no, 1: 1.50}")
    assert read_dataset(tmp_path).classes == ("no", "1.50")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("x 0.5 0.5 1 1", "line 1"),
        ("0 0.5 0.5 1 1\n0 0.5", "line 2: 1 numbers"),
        ("2 0.5 0.5 1 1", "no class 2; there are 0 to 1"),
        ("-1 0.5 0.5 1 1", "no class -1"),
        ("0 nan 0.5 1 1", "from 0 to 1"),
        ("0 12 0.5 1 1", "from 0 to 1"),
        ("0 0.5 0.5 1 1 0.9", "5 numbers"),
    ],
)
def test_broken_yolo_lines_are_refused_with_file_and_line(
    labels: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=rf"a\.txt, .*{said}"):
        read_dataset(yolo(tmp_path, labels))


@pytest.mark.parametrize(
    "made", [lambda f: None, lambda f: (f / "labels").mkdir(), lambda f: picture(f / "a.jpg")]
)
def test_a_folder_that_is_no_data_set_is_refused(
    made: Callable[[Path], None], tmp_path: Path
) -> None:
    made(tmp_path)
    for place in (tmp_path, tmp_path / "nothing", Path(__file__)):
        with pytest.raises(DatasetError):
            read_dataset(place)


def test_several_label_files_are_not_guessed_between(tmp_path: Path) -> None:
    path = coco(tmp_path, document())
    path.rename(path.with_name("instances_train.json"))
    path.with_name("captions.json").write_text("{}")
    assert read_dataset(tmp_path).boxes == 2
    path.with_name("instances_more.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"captions\.json, instances_more"):
        read_dataset(tmp_path)


def test_only_what_lies_below_the_data_set_is_where_labels_may_be(tmp_path: Path) -> None:
    folder = yolo_split(tmp_path / "images" / "set")
    (tmp_path / "labels" / "set" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "set" / "train" / "a.txt").write_text("0 0.5 0.5 1 1\n")
    found = read_dataset(folder)
    assert [box.class_id for box in found.pictures[0].boxes] == [1]


def yolo_split(folder: Path) -> Path:
    """Write a data set whose labels lie beside its pictures."""
    picture(folder / "train" / "a.jpg")
    (folder / "train" / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    (folder / "data.yaml").write_text("names: [a, b]\ntrain: train\n")
    return folder


def test_what_is_there_twice_counts_once_and_is_said(tmp_path: Path) -> None:
    line = "1 0.5 0.5 0.5 0.5\n"
    yolo(tmp_path, line + line + "0 0.5 0.5 0.5 0.5\n" + line)
    (tmp_path / "data.yaml").write_text("names: [a, b]\nval: [images, ./images]\n")
    found = read_dataset(tmp_path)
    assert len(found.pictures) == 1
    assert [box.class_id for box in found.pictures[0].boxes] == [1, 0]
    assert found.notes == (
        "Pictures that lie in two of the folders count once: 1.",
        "Boxes that are there twice count once: 2, in a.txt.",
    )
    assert found.most(1).notes == found.notes


@given(line=st.text(max_size=60))
def test_no_line_of_labels_brings_the_reader_down(
    line: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "lines"
    if not folder.exists():
        folder.mkdir()
        yolo(folder)
    (folder / "labels" / "a.txt").write_text(line, encoding="utf-8", errors="replace")
    try:
        found = read_dataset(folder)
    except DatasetError:
        return
    assert all(0 <= box.class_id < 2 for box in found.pictures[0].boxes)
