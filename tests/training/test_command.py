"""The command line: what is asked is checked, and errors and missed aims end it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="evaluation needs pycocotools")

from sightline_engines.assets import SHIPPED_NAME, shipped_model
from sightline_engines.clip import ClipWriter
from sightline_engines.errors import ClipError
from sightline_training import __main__ as command
from sightline_training.measure import report, timing
from sightline_training.measure.aims import AIMS, Verdict, judge
from sightline_training.measure.onclips import CARS, STEADY, WALKING
from sightline_training.samples import SETS, held_out
from tests.training.rendered import rendered

MODEL = shipped_model()


def call(monkeypatch: pytest.MonkeyPatch, *line: str) -> int:
    """Run the command line; return its status."""
    monkeypatch.setattr(sys, "argv", ["it", *line])
    return command.main()


@pytest.mark.parametrize("number", ["", "-0.1", "1.01", "nan", "half"])
def test_a_threshold_outside_0_to_1_is_refused(
    number: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        call(monkeypatch, "evaluate", f"--conf={number}")
    assert "argument --conf: " in capsys.readouterr().err


def test_an_unknown_device_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        call(monkeypatch, "train", "--device", "tpu")
    assert "argument --device: invalid choice: 'tpu'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["threshold", "publish", "evaluate", "card"])
def test_missing_material_is_named_before_anything_is_measured(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [name, "--data", str(tmp_path), "--model", str(MODEL)]
    with pytest.raises(SystemExit, match=r"instances.json, .*images not found. --data names"):
        call(monkeypatch, *line)


def test_publishing_without_an_export_says_where_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=r"latest\.onnx not found. --model names"):
        call(monkeypatch, "publish", "--output", str(tmp_path))


def test_errors_of_the_product_end_the_command_with_their_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def torn(*_: object) -> None:
        raise ClipError("the clip is torn")

    monkeypatch.setattr(report, "evaluate", torn)
    with pytest.raises(SystemExit, match="the clip is torn"):
        call(monkeypatch, "evaluate")


@pytest.mark.parametrize(
    ("missed", "line", "status"),
    [
        ([], [], 0),
        ([], ["--check"], 0),
        (["face"], [], 0),
        (["face"], ["--check"], 1),
        (["alarms"], ["--check"], 1),
        (["speed"], ["--check"], 0),
    ],
)
def test_a_missed_aim_of_accuracy_fails_the_check(
    missed: list[str], line: list[str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = {"≥": -1.0, "≤": 1.0, "<": 1.0}

    def fake(*_: object) -> list[Verdict]:
        return [
            judge(name, aim.bound + off[aim.holds] * (1 if name in missed else -1))
            for name, aim in AIMS.items()
        ]

    monkeypatch.setattr(report, "evaluate", fake)
    assert call(monkeypatch, "evaluate", *line) == status


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
    assert text.count("flickers, ") == 1 + len(STEADY)
    for name in (SHIPPED_NAME, "yolox_nano", "version-RFB-320"):
        assert f"| {name} | " in text
