"""The report says what was measured, whether each aim is met, and with which threshold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sightline_engines.assets import SHIPPED_NAME
from sightline_training.detectors import through_onnxruntime, through_openvino
from sightline_training.measure.aims import AIMS, accurate, judge, verdict_table
from sightline_training.measure.candidates import declared, int8_of, listed, ours
from sightline_training.measure.report import enter
from sightline_training.measure.tables import table
from sightline_training.measure.timing import in_turns
from tests.training.rendered import rendered

ASSETS = Path(__file__).parents[2] / "engines/sightline_engines/assets"
MODEL = ASSETS / f"{SHIPPED_NAME}.onnx"


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], "| a | b |\n| --- | --- |"),
        ([("1", "2")], "| a | b |\n| --- | --- |\n| 1 | 2 |"),
    ],
)
def test_tables_are_markdown(rows: list[tuple[str, str]], text: str) -> None:
    assert table(("a", "b"), rows) == text


@pytest.mark.parametrize(
    ("name", "got", "met"),
    [
        ("face", None, None),
        ("face", 0.80, True),
        ("face", 0.7999, False),
        ("person tall", 0.66, True),
        ("size", 6.1, False),
        ("int8 loss", -0.002, True),
        ("int8 loss", 0.011, False),
        ("flicker", 3.0, False),
        ("flicker", 2.9, True),
        ("alarms", 3.0, True),
        ("speed", 59.0, False),
    ],
)
def test_a_figure_is_held_against_its_aim(name: str, got: float | None, met: bool | None) -> None:
    assert judge(name, got).met is met


def test_a_missed_speed_is_no_missed_accuracy() -> None:
    speed, size, face = judge("speed", 10), judge("size", 3.7), judge("face", 0.81)
    assert accurate([speed, size, face])
    assert not accurate([speed, size, judge("face", 0.79)])
    assert not accurate([judge("int8 loss", None)])
    lines = verdict_table([speed, size, judge("alarms", 4, "a wall"), judge("face", None)])
    assert lines.splitlines()[2:] == [
        "| pictures a second, OpenVINO, 2 threads | ≥ 60 | 10 | no |",
        "| file | ≤ 6 MB | 3.7 MB | yes |",
        "| false alarms in 100 pictures, a wall | ≤ 3 | 4.0 | no |",
        "| face AP50 | ≥ 0.8 | - | not measured |",
    ]


def test_every_aim_is_of_accuracy_but_the_speed() -> None:
    assert [name for name, aim in AIMS.items() if not aim.accuracy] == ["speed"]


def test_the_int8_file_is_measured_if_it_lies_beside(tmp_path: Path) -> None:
    model = tmp_path / "it.onnx"
    assert int8_of(model).name == "it-int8.onnx"
    teachers = ["yolox_nano", "version-RFB-320"]
    assert [c.name for c in listed(model, tmp_path)] == ["it", *teachers]
    int8_of(model).touch()
    assert [c.name for c in listed(model, tmp_path)] == ["it", "it-int8", *teachers]


@pytest.mark.parametrize(
    ("sidecar", "asked", "threshold", "origin"),
    [
        (None, None, 0.5, "no sidecar names one"),
        ({}, None, 0.5, "no sidecar names one"),
        ({"conf": 0.4, "iou": 0.45}, None, 0.4, "by its sidecar"),
        ({"conf": 0.4, "iou": 0.45}, 0.6, 0.6, "as asked for"),
    ],
)
def test_the_threshold_comes_from_the_sidecar(
    tmp_path: Path,
    sidecar: dict[str, float] | None,
    asked: float | None,
    threshold: float,
    origin: str,
) -> None:
    model = tmp_path / "it.onnx"
    if sidecar is not None:
        content = json.dumps({"postprocess": sidecar})
        model.with_suffix(".json").write_text(content, "utf-8")
    candidate = replace(ours(model), open=lambda _: lambda _: np.zeros((0, 6), np.float32))
    entry = enter(candidate, tmp_path, asked)
    assert (entry.options.conf, entry.origin) == (threshold, origin)
    assert entry.options.iou == (0.45 if sidecar else 0.5)


def test_the_shipped_file_declares_its_threshold() -> None:
    options = declared(MODEL)
    assert options is not None
    assert (0.3 <= options.conf <= 0.7, options.iou) == (True, 0.5)


def test_both_runtimes_find_the_same() -> None:
    bgr = rendered(1, 0).bgr
    plain, fast = (ours(MODEL).open(load)(bgr) for load in (through_onnxruntime, through_openvino))
    one, other = (rows[rows[:, 5].argmax()] for rows in (plain, fast))
    np.testing.assert_allclose(one[:4], other[:4], atol=4)  # some CPUs' default is bfloat16
    np.testing.assert_allclose(one[4:], other[4:], atol=0.05)


def test_work_is_timed_in_turns() -> None:
    order: list[str] = []
    times = in_turns([lambda: order.append("a"), lambda: order.append("b")], 3)
    assert order == ["a", "b"] * (len(order) // 2)
    assert len(times) == 2
    assert min(times) > 0
