"""YOLO folders as data sets, and what is no data set: refused with the place named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_engines.benchmark.dataset import DatasetError, read_dataset
from tests.engines.labelled_folders import coco, document, picture, yolo


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
