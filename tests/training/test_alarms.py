"""False alarms: every detection where nobody is counts and is named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_training.boxes import Array
from sightline_training.measure.alarms import (
    Alarms,
    alarm_list,
    alarm_table,
    count,
    pictures_in,
    without_people,
)
from sightline_training.measure.onclips import empty_frames
from sightline_training.samples import Sample

NOTHING = np.zeros((0, 6), np.float32)


def rows(*scores: float, label: int = 0) -> Array:
    """Make a row of each score."""
    return np.asarray([[0, 0, 9, 9, label, s] for s in scores], np.float32).reshape(-1, 6)


@pytest.mark.parametrize(
    ("pictures", "share", "named"),
    [
        ([], None, []),
        ([("a.jpg", NOTHING)], 0, []),
        ([("a.jpg", rows(0.75)), ("b.jpg", NOTHING)], 50, ["a.jpg: person 0.75"]),
        (
            [("a.jpg", rows(0.75, 0.5, label=1))],
            200,
            ["a.jpg: face 0.75", "a.jpg: face 0.50"],
        ),
    ],
)
def test_alarms_are_counted_per_hundred_pictures(
    pictures: list[tuple[str, Array]], share: float | None, named: list[str]
) -> None:
    got = count("a wall", pictures)
    assert got.per_hundred == share
    assert [str(alarm) for alarm in got.found] == named


@given(st.lists(st.integers(0, 3), min_size=1))
def test_no_alarm_is_lost_or_made_up(numbers: list[int]) -> None:
    got = count("", ((f"{i}", rows(*[0.5] * n)) for i, n in enumerate(numbers)))
    assert (got.pictures, len(got.found)) == (len(numbers), sum(numbers))
    assert got.per_hundred == pytest.approx(100 * sum(numbers) / len(numbers))


def test_the_list_names_the_file_the_class_and_the_score() -> None:
    assert alarm_list({"small": [Alarms("a wall", 4, ())]}) == "No false alarm."
    got = {"small": [count("a wall", [("a.jpg", rows(0.66, label=1))])]}
    assert alarm_list(got) == "- small, a wall, a.jpg: face 0.66"
    assert alarm_table(got).endswith("| small | a wall | 1 | 1 | 100.0 |")
    assert alarm_table({"small": [count("a wall", [])]}).endswith("| 0 | 0 | - |")


def test_a_drawn_crowd_is_people_too() -> None:
    blank = np.zeros((20, 20, 3), np.uint8)
    boxes = [[], [[0, 0, 9, 9, 0, 1]], [[0, 0, 9, 9, 0, 0]], [[0, 0, 9, 9, 1, 1]]]
    samples = [Sample("", blank, np.asarray(b, np.float32).reshape(-1, 6)) for b in boxes]
    assert without_people(samples) == [0, 3]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a folder"):
        pictures_in(tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("no picture", "utf-8")
    with pytest.raises(ValueError, match="holds no picture; put some without people there"):
        pictures_in(tmp_path)
    for name in ("b.PNG", "a.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    assert [path.name for path in pictures_in(tmp_path)] == ["a.png", "b.PNG"]


@pytest.mark.parametrize(("frames", "listed"), [(0, []), (5, []), (6, [5]), (30, [5, 15, 25])])
def test_the_empty_room_is_looked_at_once_a_second(frames: int, listed: list[int]) -> None:
    assert empty_frames(10, frames) == listed


def test_the_empty_frames_of_the_room_lie_in_order_and_within_the_clip() -> None:
    frames = empty_frames(10, 1394)
    assert frames == sorted(set(frames))
    assert len(frames) > 12
    assert frames[-1] < 1394
