"""Labelled data sets: what is read, and what is refused with the place named."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from sightline_engines.benchmark.accuracy import classes_to_find
from sightline_engines.benchmark.dataset import DatasetError, read_dataset
from tests.engines.labelled_folders import Document, coco, document, picture


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
