"""`sightline detect` on real pictures and clips, and on what is neither."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sightline_engines import Detector
from sightline_engines.clip import ClipWriter, probe_clip, read_clip
from sightline_engines.header import parse_header
from tests.cli.conftest import Run
from tests.cli.running import SIGHTLINE


@pytest.fixture(scope="session")
def yolox(shared_data: Path) -> Path:
    return shared_data / "weights" / "yolox_nano.onnx"


@pytest.fixture(scope="session")
def street(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return five frames of people walking, as a clip."""
    path = tmp_path_factory.mktemp("clips") / "street.mp4"
    source = shared_data / "video" / "swdee_people-walking.mp4"
    with ClipWriter(path, (1280, 720), 10) as writer:
        for image in islice(read_clip(source), 0, 50, 10):
            writer.write(image)
    return path


@pytest.fixture(scope="session")
def people(street: Path) -> Path:
    """Return one frame of people walking, as a PNG."""
    path = street.with_name("people.png")
    cv2.imwrite(str(path), next(read_clip(street)))
    return path


def rows(text: str) -> list[dict[str, Any]]:
    """Read the JSON report."""
    read: list[dict[str, Any]] = json.loads(text)
    return read


def test_a_picture_gives_what_the_python_api_gives(run: Run, people: Path, yolox: Path) -> None:
    (row,) = rows(run("detect", people, "--model", yolox).stdout)
    with Detector.load(yolox) as detector:
        expected = detector(people).to_dicts(detector.labels)
    assert row["detections"] == expected
    assert len(expected) >= 3
    assert row["source"] == str(people)
    assert row["image"] == {"width": 1280, "height": 720}
    assert row["model"]["name"] == "yolox_nano"
    assert set(row["timings_ms"]) == {
        "decode", "queue", "preprocess", "infer", "postprocess", "total",
    }  # fmt: skip


def test_a_clip_gives_an_object_a_frame(run: Run, street: Path, yolox: Path) -> None:
    result = run("detect", street, "--model", yolox)
    found = rows(result.stdout)
    assert [(row["frame"], row["time_s"]) for row in found] == [
        (0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4),
    ]  # fmt: skip
    assert all(any(d["class_name"] == "person" for d in row["detections"]) for row in found)


def test_the_shipped_model_needs_no_name(run: Run, people: Path) -> None:
    (row,) = rows(run("detect", people).stdout)
    assert row["model"]["name"] == "sightline-webcam"


def test_options_reach_the_detector(run: Run, people: Path, yolox: Path) -> None:
    asked = ("--model", yolox, "--conf", "0.5", "--iou", "0.9", "--engine", "onnxruntime")
    (row,) = rows(run("detect", people, *asked, "--classes", "person, 24").stdout)
    assert row["model"]["engine"] == "onnxruntime"
    assert {d["class_name"] for d in row["detections"]} <= {"person", "backpack"}
    assert min(d["score"] for d in row["detections"]) >= 0.5


def test_csv_has_a_line_a_detection(run: Run, people: Path, street: Path, yolox: Path) -> None:
    result = run("detect", people, street, "--model", yolox, "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {line["source"] for line in lines} == {str(people), str(street)}
    assert {line["frame"] for line in lines} == {"", "0", "1", "2", "3", "4"}
    assert float(lines[0]["x1"]) < float(lines[0]["x2"])


def test_a_file_name_is_no_spreadsheet_formula(
    run: Run, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(people, "=1+1.png")
    result = run("detect", "=1+1.png", "--format", "csv", "--conf", "0.05")
    assert result.stdout.splitlines()[1].startswith("'=1+1.png,")


def test_pictures_come_back_with_boxes_drawn(
    run: Run, people: Path, yolox: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jpg"
    result = run("detect", people, "--model", yolox, "--format", "image", "--output", out)
    assert result.exit_code == 0
    assert result.stdout == ""
    drawn, plain = cv2.imread(str(out)), cv2.imread(str(people))
    assert drawn is not None
    assert plain is not None
    assert drawn.shape == plain.shape
    assert np.abs(drawn.astype(int) - plain).max() > 100


def test_a_clip_comes_back_as_a_clip_of_the_same_length(
    run: Run, street: Path, yolox: Path, tmp_path: Path
) -> None:
    run("detect", street, "--model", yolox, "--format", "image", "--output", tmp_path)
    info = probe_clip(tmp_path / "street-detected.mp4")
    assert (info.width, info.height, info.frames) == (1280, 720, 5)
    assert info.fps == pytest.approx(10)
    assert [p.name for p in tmp_path.glob("street*")] == ["street-detected.mp4"]


@pytest.mark.parametrize("name", ["out.png", "out.webp", "out.bmp", "out.JPEG"])
def test_a_drawn_picture_is_of_the_format_that_its_name_says(
    run: Run, people: Path, tmp_path: Path, name: str
) -> None:
    result = run("detect", people, "--format", "image", "--output", tmp_path / name)
    assert result.exit_code == 0
    kind = {".png": "PNG", ".webp": "WebP", ".bmp": "BMP"}.get(Path(name).suffix, "JPEG")
    assert parse_header(memoryview((tmp_path / name).read_bytes())).format == kind


def test_a_name_of_no_format_that_can_be_written_is_refused(
    run: Run, people: Path, street: Path, tmp_path: Path
) -> None:
    for source in (people, street):
        result = run("detect", source, "--format", "image", "--output", tmp_path / "out.gif")
        assert result.exit_code == 1
        assert "name" in result.stderr
    assert not (tmp_path / "out.gif").exists()


def test_inputs_of_one_name_do_not_overwrite_each_other(
    run: Run, people: Path, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(people, tmp_path / folder / "same.png")
    both = (tmp_path / "a" / "same.png", tmp_path / "b" / "same.png")
    out = tmp_path / "out"
    run("detect", *both, "--format", "image", "--output", out)
    assert sorted(p.name for p in out.iterdir()) == ["same-detected-2.jpg", "same-detected.jpg"]


def test_an_input_is_never_written_over(run: Run, people: Path, tmp_path: Path) -> None:
    copy = shutil.copy(people, tmp_path / "mine.png")
    result = run("detect", copy, "--format", "image", "--output", copy)
    assert result.exit_code == 1
    assert "written over" in result.stderr
    assert (tmp_path / "mine.png").read_bytes() == people.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.jpg", None, "no such file"),
        ("empty.jpg", b"", "can't be read"),
        ("text.jpg", b"hello", "can't be read"),
        ("cut.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", "ends within its header"),
        ("playlist.mp4", b"#EXTM3U\nfile:///etc/passwd\n", "can't be read"),
        ("document.pdf", b"%PDF-1.7", "a PDF"),
    ],
)
def test_a_bad_input_is_named_and_the_others_go_on(  # noqa: PLR0917
    run: Run, people: Path, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    bad = tmp_path / name
    if content is not None:
        bad.write_bytes(content)
    result = run("detect", bad, people)
    assert result.exit_code == 1
    assert f"{bad}: " in result.stderr
    assert said in result.stderr
    failed, good = rows(result.stdout)
    assert failed["error"]["message"]
    assert good["source"] == str(people)


def test_a_folder_is_no_input(run: Run, tmp_path: Path) -> None:
    result = run("detect", tmp_path)
    assert result.exit_code == 1
    assert "is a directory" in result.stderr


def test_a_clip_that_breaks_off_keeps_the_frames_before(
    run: Run, shared_data: Path, tmp_path: Path
) -> None:
    whole = (shared_data / "video" / "arjun_vtest.avi").read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[:60_000])
    result = run("detect", cut)
    *frames, failed = rows(result.stdout)
    assert len(frames) >= 1
    assert all("frame" in row for row in frames)
    assert failed["error"]["code"] == "bad_clip"
    assert result.exit_code == 1
    assert f"ends after {len(frames)} of 795 pictures" in result.stderr
    drawn = run("detect", cut, "--format", "image", "--output", tmp_path)
    assert drawn.exit_code == 1
    assert probe_clip(tmp_path / "cut-detected.mp4").frames == len(frames)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--classes", "unicorn"], "unicorn"),
        (["--model", "no-such"], "sightline-webcam"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_what_is_not_there_is_named_before_anything_is_looked_at(
    run: Run, people: Path, arguments: list[str], said: str
) -> None:
    result = run("detect", people, *arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stdout == ""


def test_no_hostile_file_ends_the_run(run: Run, shared_data: Path) -> None:
    files = sorted(p for p in (shared_data / "images").rglob("*") if p.is_file())
    result = run("detect", *files)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    answered = {row["source"] for row in rows(result.stdout)}
    assert answered == {str(file) for file in files}


def test_the_standard_output_is_json_alone(people: Path, street: Path) -> None:
    command = [*SIGHTLINE, "detect", str(people), str(street), "nowhere.jpg"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(rows(done.stdout)) == 7
    assert "nowhere.jpg" in done.stderr
