"""The jobs that measure: real cells of a tiny model out of a real store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sightline_backend.datasets import find_dataset
from sightline_backend.errors import UnknownError
from sightline_backend.jobs.devices import device_of
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import BenchmarkRequest, ConvertRequest, ValidateRequest
from sightline_backend.jobs.work import benchmark, validate
from sightline_backend.jobs.work.calibrated import calibration_notes
from sightline_backend.jobs.work.context import JobWork, WorkSettings
from sightline_backend.jobs.work.wanted import Wanted, wanted
from sightline_backend.store.store import Store, open_store
from sightline_engines.convert.options import Precision
from sightline_engines.errors import ModelFileError
from sightline_engines.types import Format
from tests.backend.datasets.calls import write
from tests.engines.tiny import constant_model, random_raw


class Notes:
    """Keeps what a job's work reports."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.lines: list[str] = []
        self.results: list[dict[str, Any]] = []

    def progress(self, share: float, _doing: str) -> None:
        self.shares.append(share)

    def log(self, line: str) -> None:
        self.lines.append(line)

    def partial(self, result: dict[str, Any]) -> None:
        self.results.append(json.loads(json.dumps(result)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "store")
    model = constant_model(
        tmp_path / "tiny.onnx",
        random_raw("yolov8", 2),
        batch="batch",
        metadata={"names": "{0: 'person', 1: 'car'}"},
    )
    opened.models.add(model, "tiny")
    yield opened
    opened.close()


@pytest.fixture
def work(store: Store, tmp_path: Path) -> JobWork:
    write(tmp_path / "data" / "street")
    (tmp_path / "job").mkdir()
    settings = WorkSettings(data_dir=tmp_path / "data")
    job = JobRecords(store.database).add("benchmark", asked(), "a test")
    return JobWork(job.id, store, tmp_path / "job", Notes(), settings)


def asked(**given: Any) -> BenchmarkRequest:
    short = {"model": "tiny", "engines": ["onnxruntime"], "precisions": ["fp32"]}
    return BenchmarkRequest(**{**short, "seconds": 0.1, "warmup_s": 0, **given})


def notes(work: JobWork) -> Notes:
    assert isinstance(work.report, Notes)
    return work.report


def test_a_matrix_is_measured_kept_and_told_cell_by_cell(work: JobWork) -> None:
    request = asked(
        engines=["onnxruntime", "tensorrt"], batches=[1, 2], dataset="dir:street", device="cpu"
    )
    result = benchmark.run(request, work)
    states = [cell["state"] for cell in result["cells"]]
    assert states == ["done", "done", "skipped", "skipped"]
    assert "NVIDIA" in result["cells"][2]["error"]
    assert result["dataset"]["boxes"] == 1
    assert result["host"]["processors"] >= 1
    first = result["cells"][0]
    assert set(first["accuracy"]["per_class"]) == {"person"}
    assert first["artefact_id"] == work.store.models.model("tiny").versions[0].artefacts[0].id
    assert [len(partial["cells"]) for partial in notes(work).results] == [0, 1, 2, 3, 4]
    assert notes(work).shares == sorted(notes(work).shares)
    assert notes(work).results[-1] == json.loads(json.dumps(result))


def test_another_precision_is_never_used_for_one_that_lacks(work: JobWork) -> None:
    [cell] = benchmark.run(asked(precisions=["int8"]), work)["cells"]
    assert cell["cell"]["precision"] == "int8"
    assert cell["state"] == "skipped"
    assert "int8" in cell["error"].lower()


def test_a_size_that_is_not_possible_is_skipped(work: JobWork) -> None:
    own, other = benchmark.run(asked(input_sizes=[(64, 64), (80, 80)]), work)["cells"]
    assert own["state"] == "done"
    assert other["state"] == "skipped"
    assert "80x80" in other["error"]


def test_one_artefact_alone_has_its_own_precision(work: JobWork) -> None:
    artefact = work.store.models.model("tiny").versions[0].artefacts[0]
    request = asked(artefact_id=artefact.id, precisions=["int8", "fp16"], dataset=None)
    [cell] = benchmark.run(request, work)["cells"]
    assert (cell["state"], cell["cell"]["precision"]) == ("done", "fp32")


def test_accuracy_alone_is_validated(work: JobWork) -> None:
    artefact = work.store.models.model("tiny").versions[0].artefacts[0]
    request = ValidateRequest(artefact_id=artefact.id, dataset="dir:street", device="cpu")
    result = validate.run(request, work)
    [kept] = work.store.measurements.of(artefact.id)
    assert kept.job_id == work.job_id
    assert kept.figures["accuracy"] == result["accuracy"]
    assert result["engine"] == "onnxruntime"
    assert result["accuracy"]["pictures"] == 1


def made_int8(work: JobWork, origin: str) -> int:
    """Keep a copy of the model that calls itself INT8."""
    source = work.store.models.model("tiny").versions[0].artefacts[0]
    assert source.spec is not None
    copy = work.folder / "int8.onnx"
    copy.write_bytes(source.path.read_bytes() + b"\x32\x04int8")  # a doc string, given once more
    spec = replace(source.spec, path=copy, precision="int8")
    return work.store.models.add_artefact(source, spec, made_from_id=source.id, origin=origin).id


@pytest.mark.parametrize(
    ("calibrated_on", "said"),
    [
        ("dir:street", "on 1 of the 1 pictures that it is measured on"),
        ("other", ""),
        (None, "isn't known"),
    ],
)
def test_an_int8_cell_says_that_it_was_calibrated_on_what_it_is_measured_on(
    calibrated_on: str | None, said: str, work: JobWork
) -> None:
    origin = "upload"
    if calibrated_on:
        request = ConvertRequest(
            model="tiny", format="onnx", precision="int8", dataset=calibrated_on
        )
        origin = f"job {JobRecords(work.store.database).add('convert', request, 'a test').id}"
    made = made_int8(work, origin)
    asked_for = asked(precisions=["int8"], dataset="dir:street", device="cpu")
    [int8] = benchmark.run(asked_for, work)["cells"]
    assert (int8["state"], int8["artefact_id"]) == ("done", made)
    found = [note for note in int8["notes"] if "optimistic" in note]
    assert [said in note for note in found] == [True] * bool(said)
    validated = validate.run(
        ValidateRequest(artefact_id=made, dataset="dir:street", device="cpu"), work
    )
    assert validated["notes"] == found
    [*_, kept] = work.store.measurements.of(made)
    assert [note for note in kept.figures["notes"] if "optimistic" in note] == found


def test_of_int8_that_ships_it_is_known_what_it_was_calibrated_on(work: JobWork) -> None:
    (version,) = work.store.models.model("sightline-webcam").versions
    pictures = find_dataset(work.store, work.settings.data_dir, "dir:street")
    said = [
        calibration_notes(artefact, work.store, "dir:street", pictures, pictures)
        for artefact in version.artefacts
    ]
    assert said[0] == ()
    assert ["the model was trained on" in note for note in said[1]] == [True]


@pytest.mark.parametrize("dataset", ["gone", "dir:gone"])
def test_an_unknown_data_set_ends_the_job(dataset: str, work: JobWork) -> None:
    with pytest.raises(UnknownError):
        benchmark.run(asked(dataset=dataset), work)


@pytest.mark.parametrize(
    ("engine", "precision", "why", "format"),
    [
        ("onnxruntime", "fp32", None, Format.ONNX),
        ("onnxruntime", "int8", None, Format.ONNX),
        ("openvino", "fp32", None, Format.ONNX),
        ("openvino", "fp16", "x", Format.OPENVINO),
        ("openvino", "int8", None, Format.OPENVINO),
        ("openvino", "int8", "NNCF isn't installed", Format.ONNX),
        ("tensorrt", "fp32", None, Format.TENSORRT),
    ],
)
def test_each_engine_has_its_file(
    engine: str, precision: Precision, why: str | None, format: Format
) -> None:
    want = wanted(engine, precision, why)
    assert isinstance(want, Wanted)
    assert (want.format, want.precision) == (format, precision)
    assert bool(want.note) == ((engine, precision, bool(why)) == ("openvino", "int8", True))


@pytest.mark.parametrize(
    ("engine", "device", "where"),
    [("openvino", None, "cpu"), ("tensorrt", None, "cuda:0"), ("tensorrt", "tensorrt:1", "cuda:1"),
     ("onnxruntime", "cuda:1", "cuda:1"), ("openvino", "cuda", None), ("tensorrt", "cpu", None)],
)  # fmt: skip
def test_an_engine_runs_where_it_can(engine: str, device: str | None, where: str | None) -> None:
    if where is None:
        with pytest.raises(ModelFileError):
            device_of(engine, device)
    else:
        assert device_of(engine, device) == where
