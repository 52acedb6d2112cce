"""The drawn scenes are what they say, and the shipped model finds people in them, not in rooms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="evaluation needs pycocotools")

from sightline_engines.assets import shipped_model
from sightline_engines.detector import Detector
from sightline_training.boxes import Array
from sightline_training.card import misses
from sightline_training.card.cases import worst
from sightline_training.card.failures import PLAIN, SCENES, draw, find, tile
from sightline_training.card.misses import groups, judge_all, missed_table, tally
from sightline_training.card.sheet import Part, write
from sightline_training.drawn.scenes import FACE, PERSON, Place, Plan, drawn
from sightline_training.measure.candidates import stated
from sightline_training.measure.matches import judge
from sightline_training.samples import Sample

EMPTY = Plan("an empty room")


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    with Detector.load(engine="onnxruntime") as loaded:
        yield loaded


def sample(*boxes: tuple[float, ...]) -> Sample:
    array = np.asarray(boxes, np.float32).reshape(-1, 6)
    return Sample("", np.full((200, 200, 3), 90, np.uint8), array)


def array(*rows: tuple[float, ...]) -> Array:
    return np.asarray(rows, np.float32).reshape(-1, 6)


@pytest.mark.parametrize(
    ("people", "classes"),
    [
        ((), []),
        (PLAIN.people, [PERSON, FACE]),
        ((Place(320, 190, 14),), [PERSON, FACE]),
        ((Place(2000, 190, 120),), []),
        ((Place(732, 190, 120),), [PERSON]),
    ],
)
def test_boxes_lie_where_something_was_drawn(people: tuple[Place, ...], classes: list[int]) -> None:
    empty, scene = drawn(Plan("", blur_px=0.1)), drawn(Plan("", people, blur_px=0.1))
    assert scene.boxes[:, 4].tolist() == classes
    changed = np.abs(scene.bgr.astype(int) - empty.bgr.astype(int)).max(2) > 12
    outside = changed.copy()
    for x1, y1, x2, y2 in np.rint(scene.boxes[:, :4]).astype(int):
        assert changed[y1:y2, x1:x2].mean() > 0.4
        outside[max(0, y1 - 3) : y2 + 3, max(0, x1 - 3) : x2 + 3] = False
    assert not outside.any()


def test_a_seed_always_draws_the_same_and_another_seed_does_not() -> None:
    np.testing.assert_array_equal(drawn(PLAIN, 3).bgr, drawn(PLAIN, 3).bgr)
    assert (drawn(PLAIN, 3).bgr != drawn(PLAIN, 4).bgr).any()


def test_the_shipped_model_finds_the_person_and_the_face_of_the_plain_scene(
    detector: Detector,
) -> None:
    scene = drawn(PLAIN)
    shown = tile(scene, find(detector, scene), stated(shipped_model()).conf)
    assert sorted(shown.found[:, 4].tolist()) == [PERSON, FACE]
    assert shown.outcome() == "all found"


@pytest.mark.parametrize("seed", range(3))
def test_the_shipped_model_finds_nobody_in_an_empty_room(detector: Detector, seed: int) -> None:
    assert len(find(detector, drawn(EMPTY, seed))) == 0


def test_every_scene_of_the_sheet_is_named_once_and_can_be_drawn() -> None:
    assert len({plan.name for plan in SCENES}) == len(SCENES)
    for scene in map(drawn, SCENES):
        height, width = scene.bgr.shape[:2]
        assert (scene.boxes[:, :4] >= 0).all()
        assert (scene.boxes[:, 2:4] <= [width, height]).all()


@pytest.mark.parametrize(
    ("boxes", "found", "missed", "wrong"),
    [
        ([], [], 0, 0),
        ([(0, 0, 50, 50, 0, 1)], [], 1, 0),
        ([], [(0, 0, 50, 50, 0, 0.9)], 0, 1),
        ([(0, 0, 50, 50, 0, 1)], [(0, 0, 50, 50, 0, 0.4), (0, 0, 50, 50, 1, 0.9)], 1, 0),
        ([(0, 0, 50, 50, 0, 1)], [(0, 0, 50, 50, 0, 0.9), (0, 0, 50, 48, 0, 0.8)], 0, 1),
        ([(0, 0, 200, 200, 0, 0)], [(20, 20, 40, 60, 0, 0.9), (190, 0, 240, 50, 0, 0.9)], 0, 1),
    ],
)
def test_finds_meet_boxes_and_those_in_a_crowd_count_neither_way(
    boxes: list[tuple[float, ...]], found: list[tuple[float, ...]], missed: int, wrong: int
) -> None:
    one = judge(sample(*boxes), array(*found), PERSON, 0.5)
    assert (int(one.missed.sum()), int(one.wrong.sum())) == (missed, wrong)


def test_held_out_pictures_are_judged_by_what_the_product_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "it.onnx"
    content = json.dumps({"postprocess": {"conf": 0.4, "iou": 0.3}})
    model.with_suffix(".json").write_text(content, "utf-8")
    rows = array((-9, 0, 60, 60, 0, 0.9), (0, 0, 60, 30, 0, 0.8), (90, 90, 99, 99, 0, 0.3))
    monkeypatch.setattr(misses, "require", lambda files, data: None)
    monkeypatch.setattr(misses, "yolox", lambda path, labels: lambda bgr: rows)
    monkeypatch.setattr(misses, "load", lambda data, name, taught, held: [sample()])
    (one,) = judge_all(model, tmp_path)[PERSON]
    np.testing.assert_allclose(one.found, [[0, 0, 60, 60, 0, 0.9]])
    assert one.wrong.tolist() == [True]


def test_a_sidecar_without_a_threshold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"it\.json names no threshold; write postprocess"):
        stated(tmp_path / "it.onnx")


def test_boxes_are_sorted_by_height_edge_and_overlap() -> None:
    boxes = ((50, 50, 60, 58, 0, 1), (100, 100, 160, 160, 0, 1), (120, 100, 200, 200, 0, 1))
    one = judge(sample(*boxes), array(), PERSON, 0.5)
    member = {name: mask.tolist() for name, mask in groups(one).items()}
    assert member["under 5 % high"] == [True, False, False]
    assert member["over 25 %"] == [False, True, True]
    assert member["cut by the edge"] == [False, False, True]
    assert member["overlapped"] == [False, True, True]
    assert tally([one])["all"] == (3, 3)
    lines = [
        line.strip("| ").split(" | ")
        for line in missed_table({PERSON: [one], FACE: []}).splitlines()
    ]
    cells = {line[0]: tuple(line[1:]) for line in lines}
    assert cells["whole"] == ("100% (2 of 2)", "none there")


def test_the_layout_of_a_picture_is_drawn_without_its_pixels(tmp_path: Path) -> None:
    one = judge(sample((20, 20, 100, 180, 0, 1)), array((120, 20, 180, 90, 0, 0.8)), PERSON, 0.5)
    (shown,) = worst({PERSON: [one]})
    assert shown.outcome() == "missed: person; false alarm: person 80%"
    assert not (shown.bgr == 90).all(2).any()
    x1, y1, x2, y2 = np.rint(shown.boxes[0, :4]).astype(int)
    assert np.ptp(shown.bgr[y1:y2, x1:x2]) > 100
    write([Part("one", "layout", [shown])], [tally([one]), tally([])], tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 5000


def test_a_folder_without_material_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"instances.json.*--data names the folder"):
        draw(shipped_model(), tmp_path, tmp_path / "sheet.png")
