"""The answers' formats, from no detection to hostile class names."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from sightline_backend.formats import CSV_COLUMNS, as_csv, as_image, as_json, as_roboflow
from sightline_engines.types import Detections, Result, ServedModel, Timings
from tests.fakes import grey

SERVED = ServedModel("fake", "1", "fake", "fp32", "CPU", fallback="no GPU")


def result(count: int) -> Result:
    """Return `count` detections of as many classes."""
    boxes = np.array([[10 * i, 5, 10 * i + 8, 25] for i in range(count)], np.float32)
    found = Detections(
        boxes.reshape(-1, 4), np.full(count, 0.5, np.float32), np.arange(count, dtype=np.int32)
    )
    return Result(0, 0, (200, 100), found, Timings(total=12.5), SERVED)


def test_nothing_found_is_an_empty_list_in_every_format() -> None:
    assert as_json(result(0), ())["detections"] == []
    assert as_roboflow(result(0), ())["predictions"] == []
    assert as_csv(result(0), ()).splitlines() == [",".join(CSV_COLUMNS)]
    assert as_image(result(0), (), grey(9))[:3] == b"\xff\xd8\xff"


def test_a_fallback_is_told_wherever_the_engine_is_named() -> None:
    assert as_json(result(1), ("cat",))["model"]["fallback"] == "no GPU"


def test_roboflow_boxes_are_centre_and_size() -> None:
    (row,) = as_roboflow(result(1), ("cat",))["predictions"]
    assert (row["x"], row["y"], row["width"], row["height"]) == (4, 15, 8, 20)
    assert (row["class"], row["class_id"], row["confidence"]) == ("cat", 0, 0.5)


@pytest.mark.parametrize(
    ("label", "cell"),
    [
        ("", ""),
        ("cat", "cat"),
        ("hot dog, large", "hot dog, large"),
        ('the "big" one', 'the "big" one'),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1+1", "'  =1+1"),
        ("\t=1+1", "'\t=1+1"),
        ("a=1", "a=1"),
    ],
)
def test_a_class_name_is_one_cell_and_never_a_formula(label: str, cell: str) -> None:
    (row,) = csv.DictReader(io.StringIO(as_csv(result(1), (label,))))
    assert row["class_name"] == cell


def test_a_class_without_a_name_is_called_by_its_number() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(result(2), ("cat",)))))
    assert [row["class_name"] for row in rows] == ["cat", "1"]
