"""The report says what was measured, whether each aim is met, and with which threshold."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from sightline_engines.assets import SHIPPED_NAME
from sightline_engines.clip import ClipWriter
from sightline_training import __main__ as command
from sightline_training.detectors import through_onnxruntime, through_openvino
from sightline_training.measure import timing
from sightline_training.measure.aims import AIMS, accurate, judge, verdict_table
from sightline_training.measure.candidates import declared, int8_of, listed, ours
from sightline_training.measure.onclips import CARS, STEADY, WALKING
from sightline_training.measure.report import enter
from sightline_training.measure.tables import table
from sightline_training.measure.timing import in_turns
from sightline_training.samples import SETS, held_out
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


@pytest.fixture
def small_data(shared_data: Path, tmp_path: Path) -> Path:
    """Make material of the usual layout: drawn pictures and clips, real teachers."""
    (tmp_path / "weights").symlink_to(shared_data / "weights")
    for name, (file, label) in SETS.items():
        images, annotations = [], []
        (tmp_path / name / "images").mkdir(parents=True)
        for number, picture in enumerate([*sorted(held_out(name))[:3], "1.png", "2.png"]):
            sample = rendered(number, label)
            cv2.imwrite(str(tmp_path / name / "images" / picture), sample.bgr)
            images.append({"id": number, "file_name": picture})
            for x1, y1, x2, y2, *_ in sample.boxes.tolist() if number else ():
                item = {"image_id": number, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
                annotations.append(item)
        content = {"images": images, "annotations": annotations}
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(json.dumps(content), "utf-8")
    (tmp_path / "video").mkdir()
    for clip in (*STEADY, WALKING, CARS):
        with ClipWriter(tmp_path / "video" / clip, (96, 64), 10) as writer:
            for _ in range(3):
                writer.write(np.full((64, 96, 3), 90, np.uint8))
    return tmp_path


def test_missing_material_is_named_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["it", "evaluate", "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"yolox_nano.onnx, .* not found. --data names"):
        command.main()


def test_the_command_prints_every_table_and_fails_only_when_asked(
    small_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timing, "ROUNDS", 3)
    empty = small_data / "wall"
    empty.mkdir()
    line = ["it", "evaluate", "--data", str(small_data), "--empty", str(empty)]
    monkeypatch.setattr(sys, "argv", [*line, "--model", str(MODEL)])
    with pytest.raises(SystemExit, match="holds no picture"):
        command.main()
    (empty / "torn.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit, match=r"torn\.png is not a picture"):
        command.main()
    (empty / "torn.png").unlink()
    cv2.imwrite(str(empty / "wall.png"), np.full((64, 96, 3), 90, np.uint8))
    monkeypatch.setattr(sys, "argv", [*line, "--model", str(MODEL), "--check"])
    assert command.main() == 1  # ovals are neither persons nor faces
    text = capsys.readouterr().out
    for heading in ("AP50 tall | AP50 small", "recall | precision", "in 100", "flicker", "| met |"):
        assert heading in text
    assert f"false alarms in 100 pictures, {empty}" in text
    for name in (SHIPPED_NAME, "yolox_nano", "version-RFB-320"):
        assert f"| {name} | " in text
