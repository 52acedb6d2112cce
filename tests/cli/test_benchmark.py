"""`sightline benchmark`: a table, a recommendation, a file; and what is wrong with the asking."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sightline_backend.cli import measuring
from sightline_backend.cli.benchmark_table import cells_table
from sightline_backend.errors import ReportedError, UnknownError
from sightline_backend.jobs.job import Job
from sightline_backend.jobs.requests import BenchmarkRequest
from sightline_backend.jobs.supervisor import JobSettings
from sightline_backend.store.store import Store, open_store
from sightline_engines.benchmark.cells import Cell, CellResult
from tests.backend.datasets.calls import write
from tests.engines.tiny import constant_model, random_raw

RUN = "import typer; from sightline_backend.cli.benchmark import benchmark; typer.run(benchmark)"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write(tmp_path / "street")
    names = {"names": "{0: 'person', 1: 'car'}"}
    return constant_model(
        tmp_path / "tiny.onnx", random_raw("yolov8", 2), batch="batch", metadata=names
    )


def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    env = {"SIGHTLINE_MODELS_DIR": str(folder / "models"), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", RUN, *options]
    return subprocess.Popen(
        command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def ran(folder: Path, *options: str) -> tuple[int, str, str]:
    process = started(folder, *options)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


SHORT = ("--seconds", "0.2", "--engine", "onnxruntime", "--device", "cpu")


def test_a_file_is_measured_on_a_folder_and_written(model: Path, tmp_path: Path) -> None:
    options = ("--model", model.name, "--data", "street", "--batch", "1,2", "--output", "out.json")
    status, out, err = ran(tmp_path, *options, *SHORT)
    assert status == 0, err
    assert "mAP50-95" in out
    assert "Recommended: onnxruntime fp32" in out
    assert "cameras at 15 fps" in out
    [run] = json.loads((tmp_path / "out.json").read_text())["runs"]
    assert [cell["state"] for cell in run["cells"]] == ["done", "done"]
    assert run["recommendation"]["best"]["engine"] == "onnxruntime"
    assert not (tmp_path / "models" / "files").exists()


def test_ctrl_c_keeps_what_there_is(model: Path, tmp_path: Path) -> None:
    batches = ",".join(map(str, range(1, 17)))
    options = ("--model", model.name, "--batch", batches, "--output", "out.csv")
    process = started(tmp_path, *options, *SHORT, "--seconds", "5")
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(8)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert "Stopped;" in err
    assert (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--output", "out.txt"), ".json, .csv or .xlsx"),
        (("--precision", "fp8"), "fp8"),
        (("--input-size", "big"), "640x384"),
        (("--batch", "0"), "greater than or equal to 1"),
        (("--data", "gone"), "gone"),
        (("--artefact", "2"), "is a file; --artefact"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence(
    options: tuple[str, ...], said: str, model: Path, tmp_path: Path
) -> None:
    status, _, err = ran(tmp_path, "--model", model.name, *SHORT, *options)
    assert status == 1
    assert said in err
    assert "Traceback" not in err


def test_somebody_who_waits_for_figures_gets_them_at_normal_priority(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_MODELS_DIR", str(tmp_path / "models"))
    told: list[JobSettings] = []

    async def followed(_store: Store, _request: BenchmarkRequest, settings: JobSettings) -> Job:
        told.append(settings)
        raise ReportedError("enough", "That is enough.")

    monkeypatch.setattr(measuring, "_followed", followed)
    words = (("onnxruntime",), ("fp32",), ("1",), (), ("1",))
    with pytest.raises(ReportedError):
        measuring.measured(measuring.Asked(str(model), None, *words, "cpu", 1, None))
    assert [settings.give_way for settings in told] == [False]


def test_one_artefact_is_measured_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_MODELS_DIR", str(tmp_path / "models"))
    with closing(open_store(tmp_path / "models")) as store:
        (version,) = store.models.model("sightline-webcam").versions
    told: list[BenchmarkRequest] = []

    async def followed(_store: Store, request: BenchmarkRequest, _settings: JobSettings) -> Job:
        told.append(request)
        raise ReportedError("enough", "That is enough.")

    monkeypatch.setattr(measuring, "_followed", followed)
    words = (("openvino",), ("fp32",), ("1",), (), ("1",))
    asked = measuring.Asked("sightline-webcam", None, *words, "cpu", 1, None)
    for number in (None, version.artefacts[1].id):
        with pytest.raises(ReportedError):
            measuring.measured(replace(asked, artefact=number))
    with pytest.raises(UnknownError, match="no artefact 99"):
        measuring.measured(replace(asked, artefact=99))
    named = version.artefacts[1].id
    assert [(one.version, one.artefact_id) for one in told] == [(None, None), (1, named)]


def test_the_table_shows_what_differs() -> None:
    skipped = CellResult(Cell("a", "fp32", 1, (64, 64), 2), "skipped", "why")
    other = CellResult(Cell("a", "fp32", 1, (96, 64)), "failed", "why")
    assert len(cells_table([], None).columns) == 11
    assert len(cells_table([skipped, other], None).columns) == 13
