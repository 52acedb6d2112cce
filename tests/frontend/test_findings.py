"""Rows, CSV and JSON of what was found."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from sightline_engines.types import Detections, ServedModel
from sightline_frontend.findings import Finding, rows, summary, to_csv, to_json

MODEL = ServedModel("m", "1", "e", "fp32", "CPU")
TWO = Detections(
    np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32),
    np.array([0.9, 0.5], np.float32),
    np.array([1, 0], np.int32),
)


def finding(name: str, detections: Detections, time_s: float | None = None) -> Finding:
    return Finding(name, (64, 48), detections, ("person", "face"), MODEL, time_s)


def test_nothing_found_is_said_in_words_and_files_stay_readable() -> None:
    nothing = [finding("a.jpg", Detections.empty())]
    assert rows(nothing) == []
    assert summary(nothing) == "nothing found"
    assert to_csv(nothing).strip() == "file,class,score,x1,y1,x2,y2"
    assert json.loads(to_json(nothing))[0]["detections"] == []


def test_each_detection_is_a_row_with_its_file() -> None:
    found = [finding("a.jpg", TWO), finding("b.jpg", Detections.empty())]
    assert [(r["file"], r["class"], r["x1"]) for r in rows(found)] == [
        ("a.jpg", "face", 1.0),
        ("a.jpg", "person", 5.0),
    ]
    assert summary([finding("a", TWO), finding("b", TWO[:1])]) == "2 face, 1 person"


def test_a_clips_summary_says_that_it_counts_boxes_not_people() -> None:
    assert summary([finding("c.mp4", Detections.empty(), time_s=0.0)]) == "nothing found"
    clip = [finding("c.mp4", TWO, time_s=0.0), finding("c.mp4", TWO[:1], time_s=0.5)]
    assert summary(clip) == "boxes: 2 of face, 1 of person"


def test_the_pictures_of_a_clip_carry_their_time() -> None:
    table = list(csv.DictReader(io.StringIO(to_csv([finding("c.mp4", TWO, time_s=0.5)]))))
    assert [row["time_s"] for row in table] == ["0.5", "0.5"]
    assert json.loads(to_json([finding("c.mp4", TWO, time_s=0.5)]))[0]["time_s"] == 0.5


@pytest.mark.parametrize("name", ["=1+1.jpg", "+a.jpg", "-a.jpg", "@a.jpg", "\ta.jpg"])
def test_a_files_name_never_becomes_a_spreadsheets_formula(name: str) -> None:
    table = list(csv.DictReader(io.StringIO(to_csv([finding(name, TWO)]))))
    assert table[0]["file"] == "'" + name
