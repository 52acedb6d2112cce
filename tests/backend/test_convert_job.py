"""The job that converts: the shipped model out of a real store, and what it leaves there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sightline_backend.errors import NotAllowedError, UnknownError
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import ConvertRequest
from sightline_backend.jobs.work import convert
from sightline_backend.jobs.work.context import JobWork, WorkSettings
from sightline_backend.store.records import Artefact
from sightline_backend.store.store import Store, open_store
from sightline_engines.convert import parity
from sightline_engines.convert.convert import can_make
from sightline_engines.convert.parity import ParityError
from sightline_engines.errors import ModelFileError
from sightline_engines.load import load_engine
from sightline_engines.types import Format
from tests.backend.test_benchmark_job import Notes
from tests.conftest import missing

NAME = "sightline-webcam"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Return a data folder with eight pictures of faces, each with a label."""
    folder = tmp_path_factory.mktemp("data")
    pictures = folder / "faces" / "images"
    labels = folder / "faces" / "labels"
    pictures.mkdir(parents=True)
    labels.mkdir()
    for path in sorted((shared_data / "faces").rglob("*.jpg"))[::180][:8]:
        shutil.copy(path, pictures / path.name)
        (labels / f"{path.stem}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "faces" / "classes.txt").write_text("face\n")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def work(store: Store, data: Path, tmp_path: Path) -> JobWork:
    (tmp_path / "job").mkdir()
    job = JobRecords(store.database).add("convert", asked("onnx"), "a test")
    return JobWork(job.id, store, tmp_path / "job", Notes(), WorkSettings(data_dir=data))


def asked(format: str, precision: str = "fp32", **given: Any) -> ConvertRequest:
    return ConvertRequest.model_validate(
        {"model": NAME, "format": format, "precision": precision, **given}
    )


def artefacts(store: Store) -> list[Artefact]:
    return [a for version in store.models.model(NAME).versions for a in version.artefacts]


@pytest.mark.parametrize(
    ("format", "precision"), [("openvino", "fp16"), ("onnx", "int8"), ("onnx", "fp16")]
)
def test_what_is_made_is_kept_beside_its_source_and_runs(
    work: JobWork, store: Store, format: str, precision: str
) -> None:
    why_not = can_make(Format(format), "int8")
    if why_not:
        missing(why_not)
    source, _ = artefacts(store)
    request = asked(format, precision, dataset="dir:faces")
    result = convert.run(request, work)
    assert json.loads(json.dumps(result)) == result
    made = store.models.artefact(result["artefact_id"])
    assert (made.format, made.precision, made.version) == (Format(format), precision, 1)
    assert (made.made_from_id, made.origin) == (source.id, f"job {work.job_id}")
    assert made.parity == result["parity"]
    assert result["parity"]["pictures"] == 8
    assert result["notes"]
    few = [note for note in result["notes"] if "few pictures (8)" in note]
    assert len(few) == (precision == "int8")
    assert made.path.is_relative_to(store.folder / "files")
    assert made.spec is not None
    load_engine(made.spec, "openvino" if format == "openvino" else "onnxruntime").close()
    active = store.models.model(NAME).active
    assert active is not None
    assert active.id == source.id  # it serves once it is promoted, not before
    assert isinstance(work.report, Notes)
    assert work.report.shares == sorted(work.report.shares)

    again = convert.run(request, work)
    assert (again["artefact_id"], again["notes"]) == (made.id, ["It was there already."])


def test_without_pictures_int8_is_there_already_as_it_ships(work: JobWork, store: Store) -> None:
    _, shipped = artefacts(store)
    result = convert.run(asked("onnx", "int8"), work)
    assert (result["artefact_id"], result["notes"]) == (shipped.id, ["It was there already."])


def test_a_picture_that_cannot_be_read_is_told(work: JobWork, data: Path, tmp_path: Path) -> None:
    """A data set is checked when it is uploaded; one in a folder can lose a picture later."""
    folder = shutil.copytree(data / "faces", tmp_path / "data" / "faces")
    spoilt = sorted((folder / "images").iterdir())[3]
    spoilt.write_bytes(spoilt.read_bytes()[:4000])
    settings = WorkSettings(data_dir=tmp_path / "data")
    again = JobWork(work.job_id, work.store, work.folder, work.report, settings)
    result = convert.run(asked("onnx", "fp16", dataset="dir:faces"), again)
    assert any("1 of 8 pictures can't be read" in note for note in result["notes"])
    assert isinstance(work.report, Notes)
    assert any(spoilt.name in line for line in work.report.lines)


def test_a_conversion_that_is_too_far_off_keeps_nothing(
    work: JobWork, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "_least", lambda *_: 1.01)
    before = artefacts(store)
    with pytest.raises(ParityError, match="doesn't detect what"):
        convert.run(asked("openvino", "fp16", dataset="dir:faces"), work)
    assert artefacts(store) == before
    assert not [p for p in store.folder.rglob("*") if p.suffix in (".xml", ".bin")]


@pytest.mark.parametrize(
    ("request_", "kind", "said"),
    [
        (asked("openvino", "int8"), ModelFileError, "Name a data set"),
        (asked("onnx", dataset="dir:gone", input_size_wh=[320, 320]), UnknownError, "gone"),
        (asked("onnx", input_size_wh=[320, 320]), ModelFileError, "is built for 416x416"),
        (asked("onnx", version=7), UnknownError, "no version 7; there are 1"),
        (asked("onnx", artefact_id=99), UnknownError, "99"),
    ],
)
def test_what_cannot_be_made_says_why(
    work: JobWork, request_: ConvertRequest, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        convert.run(request_, work)


def test_a_checkpoint_is_not_opened_unless_it_is_allowed(
    work: JobWork, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "mine.pt"
    path.write_bytes(b"not opened here")
    store.models.add_checkpoint(path, "mine", allow_pickle=True)
    with pytest.raises(NotAllowedError, match="SIGHTLINE_ALLOW_PICKLE=true"):
        convert.run(asked("onnx", model="mine"), work)
