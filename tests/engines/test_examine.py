"""Uploads are looked at in a child process: what it finds out, and how it can fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sightline_engines.archive import ArchiveLimits
from sightline_engines.benchmark.labelled import DatasetError
from sightline_engines.errors import ModelFileError
from sightline_engines.examine import dataset, model, walled
from sightline_engines.examine.answer import Unreadable, read_answer
from sightline_engines.examine.walled import look
from sightline_engines.recognise import recognise
from sightline_engines.sandbox.plan import Limits
from sightline_engines.sidecar import sidecar_path
from tests.conftest import missing
from tests.engines.tiny import FAMILIES, constant_model, random_raw

LIMITS = Limits(memory_bytes=2**30, cpu_s=1, wall_s=30, disk_bytes=2**20)
LINUX = sys.platform == "linux"


def tried(what: str, folder: Path) -> dict[str, Any]:
    if not LINUX:
        missing("walls around a child process, which are Linux's")
    scratch = folder / "scratch"
    arguments = {"what": what, "scratch": str(scratch)}
    return look("tests.engines.hungry", arguments, scratch, (), LIMITS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_child_says_what_recognise_would(tmp_path: Path, family: str) -> None:
    path = constant_model(tmp_path / "m.onnx", random_raw(family, 2))
    sidecar_path(path).write_text('{"labels": ["ä", "b"], "postprocess": {"conf": 0.5}}')
    assert model.examine_model(path, tmp_path / "scratch") == recognise(path)


def test_elsewhere_than_on_linux_it_is_read_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2))
    monkeypatch.setattr(walled, "sys", SimpleNamespace(platform="darwin"))
    assert model.examine_model(path, tmp_path / "scratch") == recognise(path)


def test_what_recognise_refuses_is_refused_in_the_same_words(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelFileError) as here:
        recognise(path)
    with pytest.raises(ModelFileError) as there:
        model.examine_model(path, tmp_path / "scratch")
    assert there.value.message == here.value.message


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("memory", "more memory"),
        ("time", "processor time"),
        ("silence", "could not be read"),
        ("lies", "could not be read"),
    ],
)
def test_a_child_that_takes_too_much_or_says_nothing_is_a_refusal(
    tmp_path: Path, what: str, says: str
) -> None:
    with pytest.raises(Unreadable, match=says):
        tried(what, tmp_path)


def test_a_full_disk_is_told_from_a_bad_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="space"):
        tried("room", tmp_path)


def test_a_child_may_make_folders(tmp_path: Path) -> None:
    assert tried("folders", tmp_path) == {"folders": ["b"]}


def test_an_answer_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "answer.json").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="no answer"):
        read_answer(tmp_path)


FIELDS: dict[str, Any] = {
    "name": "m",
    "family": "yolov8",
    "input_size_wh": [64, 64],
    "labels": ["a"],
    "version": "1",
    "precision": "fp32",
    "preprocess": {},
    "postprocess": {},
    "licence": "",
    "source": "",
    "sha256": "0" * 64,
    "notes": [],
}


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"spec": []},
        {"spec": FIELDS | {"sha256": "../../x"}},
        {"spec": FIELDS | {"labels": ["\ud800"]}},
        {"spec": FIELDS | {"family": "yolo99"}},
        {"spec": FIELDS, "static_batch": "1"},
        {"spec": FIELDS | {"path": "/etc"}, "static_batch": True},
    ],
)
def test_a_taken_child_cannot_put_just_anything_into_a_spec(
    found: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2))
    monkeypatch.setattr(model, "look", lambda *_: json.loads(json.dumps(found)))
    with pytest.raises(ModelFileError) as raised:
        model.examine_model(path, tmp_path / "scratch")
    assert "idecar" not in raised.value.message  # there is none


ABOUT = {
    "format": "coco",
    "pictures": 1,
    "boxes": 1,
    "classes": ["a"],
    "missing": ["x\ud800" * 500],
    "sha256": "0" * 64,
}


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        ({"top": ".", "about": ABOUT}, True),
        ({}, False),
        ({"top": "/etc", "about": ABOUT}, False),
        ({"top": "../..", "about": ABOUT}, False),
        ({"top": "gone", "about": ABOUT}, False),
        ({"top": "link", "about": ABOUT}, False),
        ({"top": "link/below", "about": ABOUT}, False),
        ({"top": "x" * 5000, "about": ABOUT}, False),
        ({"top": ".", "about": ABOUT | {"boxes": float("inf")}}, False),
        ({"top": ".", "about": ABOUT | {"missing": [[1]]}}, False),
        ({"top": ".", "about": ABOUT | {"classes": ["\ud800"]}}, False),
        ({"top": ".", "about": ABOUT | {"classes": []}}, False),
        ({"top": ".", "about": ABOUT | {"pictures": "many"}}, False),
        ({"top": ".", "about": ABOUT | {"sha256": 7}}, False),
    ],
)
def test_a_taken_child_cannot_put_just_anything_into_a_data_set(
    found: dict[str, Any], taken: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dataset, "look", lambda *_: found)
    (tmp_path / "elsewhere" / "below").mkdir(parents=True)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "link").symlink_to(tmp_path / "elsewhere")
    arguments = (tmp_path / "a.zip", "x", ArchiveLimits(), scratch)
    if not taken:
        with pytest.raises(DatasetError):
            dataset.examine_dataset(*arguments)
        return
    about = dataset.examine_dataset(*arguments).about
    assert about["missing"] == [("x?" * 500)[:300]]
