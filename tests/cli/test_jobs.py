"""`sightline convert`, `tune` and `jobs`: what they write, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from sightline_backend.jobs.job import State
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import BenchmarkRequest, ConvertRequest, PipelineRequest
from sightline_backend.store.store import open_store
from sightline_engines.convert.convert import can_make
from sightline_engines.types import Format
from tests.backend.job_server import hurry
from tests.cli.conftest import Run
from tests.cli.running import wait_for
from tests.conftest import ROOT, missing
from tests.engines.tiny import constant_model
from tests.fakes import encoded, grey


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Return a model that sees one box in every picture; its sidecar says what kind it is."""
    raw = np.array([[16, 16, 48, 48, 0.9, 0]], np.float32)
    names = {"names": "{0: 'person'}"}
    path = constant_model(tmp_path / "tiny.onnx", raw, batch="batch", metadata=names)
    path.with_suffix(".json").write_text('{"family": "end2end", "labels": ["person"]}')
    return path


def test_a_file_is_converted_to_one_that_detects(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    out = tmp_path / "made"
    said = run("convert", tiny, "--format", "onnx", "--precision", "fp16", "--output", out)
    assert said.exit_code == 0, said.stderr
    made = out / "tiny-onnx-fp16.onnx"
    assert said.stdout.strip() == str(made)
    assert "agree with the source's" in said.stderr
    assert "Convert tiny to ONNX FP16" in said.stderr
    assert {path.name for path in out.iterdir()} == {made.name, "tiny-onnx-fp16.json"}
    picture = tmp_path / "grey.jpg"
    picture.write_bytes(encoded(grey(64)))
    seen = run("detect", picture, "--model", made, "--engine", "onnxruntime")
    assert seen.exit_code == 0, seen.stderr
    assert '"person"' in seen.stdout


def test_an_openvino_pair_that_was_made_detects_and_a_changed_one_does_not(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why_not := can_make(Format.OPENVINO, "fp32"):
        missing(why_not)
    hurry(monkeypatch)
    said = run("convert", tiny, "--format", "openvino", "--output", tmp_path)
    assert said.exit_code == 0, said.stderr
    made = tmp_path / "tiny-openvino-fp32.xml"
    picture = tmp_path / "grey.jpg"
    picture.write_bytes(encoded(grey(64)))
    seen = run("detect", picture, "--model", made)
    assert seen.exit_code == 0, seen.stderr
    assert '"person"' in seen.stdout
    weights = made.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes() + b"x")
    changed = run("detect", picture, "--model", made)
    assert (changed.exit_code, "aren't the pair" in changed.stderr) == (1, True)
    made.with_suffix(".json").unlink()
    alone = run("detect", picture, "--model", made)
    assert (alone.exit_code, "needs tiny-openvino-fp32.json" in alone.stderr) == (1, True)


def test_what_is_made_of_a_model_goes_into_its_version(
    run: Run, tiny: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why_not := can_make(Format.OPENVINO, "fp16"):
        missing(why_not)
    hurry(monkeypatch)
    assert run("models", "add", tiny, "--name", "tiny").exit_code == 0
    said = run("convert", "tiny", "--format", "openvino", "--precision", "fp16")
    assert said.exit_code == 0, said.stderr
    number, path = said.stdout.split()
    assert Path(path).is_relative_to(models_folder)
    shown = json.loads(run("jobs", "show", "1").stdout)
    assert (shown["state"], shown["result"]["artefact_id"]) == ("done", int(number))
    wish = ("--engine", "onnxruntime", "--precision", "fp32", "--batch", "1", "--seconds", "0.2")
    tuned = run("tune", "tiny", *wish)
    assert "1 instance: artefact" in tuned.stdout
    assert tuned.exit_code == 0, tuned.stderr
    assert "Take onnxruntime fp32" in tuned.stdout
    assert "There is one already" in tuned.stderr


def test_ctrl_c_ends_a_conversion_and_leaves_neither_process_nor_file(
    tiny: Path, tmp_path: Path
) -> None:
    scratch, out = tmp_path / "scratch", tmp_path / "made"
    scratch.mkdir()
    mine = {"SIGHTLINE_MODELS_DIR": str(tmp_path / "models"), "TMPDIR": str(scratch)}
    command = (sys.executable, "-m", "tests.backend.job_server", "convert", str(tiny))
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [*command, "--format", "openvino", "--output", str(out)],
            cwd=ROOT,
            env={**os.environ, **mine},  # noqa: TID251
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            wait_for(lambda: process.poll() is not None or bool(workers(process.pid)))
            family = psutil.Process(process.pid).children(recursive=True)
            os.killpg(process.pid, signal.SIGINT)
            began = time.monotonic()
            assert process.wait(60) == 130
            assert time.monotonic() - began < 30
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        assert "nothing of the job is left" in said.read()
    assert not psutil.wait_procs(family, timeout=10)[1]
    assert not list(scratch.glob("sightline*"))
    assert not out.exists()


def workers(pid: int) -> list[psutil.Process]:
    """Return a command's jobs, once they do more than to watch."""
    return [p for p in psutil.Process(pid).children(recursive=True) if p.ppid() != pid]


def test_jobs_are_listed_shown_and_forgotten(run: Run, models_folder: Path) -> None:
    records = JobRecords(open_store(models_folder).database)
    request = ConvertRequest(model="sightline-webcam", format="onnx")
    ends: tuple[State, ...] = ("done", "failed")
    for state in ends:
        job = records.add("convert", request, "elsewhere:1:2.00")
        records.begin(job.id, job.owner)
        error = {"code": "x", "message": "It broke [so]."} if state == "failed" else None
        records.end(job.id, job.owner, state, {"error": error}, ["a line", "and another"])
    waits = records.add("convert", request, "elsewhere:1:2.00")
    listed = run("jobs", "list").stdout
    assert [word for word in ("done", "failed", "queued") if word in listed] == [
        *("done", "failed", "queued")
    ]
    assert "Convert sightline-webcam to ONNX FP32" in listed
    assert "It broke [so]." in listed
    silent = run("jobs", "log", waits.id)
    assert (silent.stdout, "wrote nothing" in silent.stderr) == ("", True)
    assert run("jobs", "log", "1").stdout == "a line\nand another\n"
    assert json.loads(run("jobs", "show", "2").stdout)["error"]["message"] == "It broke [so]."
    assert run("jobs", "watch", "1").exit_code == 0
    failed = run("jobs", "watch", "2")
    assert (failed.exit_code, "It broke [so]." in failed.stderr) == (1, True)
    assert run("jobs", "cancel", waits.id).exit_code == 0
    assert records.job(waits.id).state == "cancelled"
    assert "1 job is forgotten." in run("jobs", "clear", "2").stderr
    assert "2 jobs are forgotten." in run("jobs", "clear").stderr
    assert records.jobs() == []


def test_what_was_measured_is_kept_until_that_is_asked_for(run: Run, models_folder: Path) -> None:
    records = JobRecords(open_store(models_folder).database)
    wish: dict[str, Any] = {"engines": ["onnxruntime"], "precisions": ["fp32"]}
    tree = PipelineRequest(model="sightline-webcam", **wish)
    step = BenchmarkRequest(model="sightline-webcam", **wish)
    results: tuple[dict[str, Any], ...] = ({"cells": [{"state": "done"}]}, {"cells": []}, {})
    for result in results:
        job = records.add("pipeline", tree, "me")
        steps = [records.add("benchmark", step, "me", job.id) for _ in range(2)]
        for one in (*steps, job):
            records.end(one.id, "me", "done", {"result": result}, [])
    log = run("jobs", "log", "1")
    assert (log.stdout, "steps are jobs 2, 3" in log.stderr) == ("", True)
    cleared = run("jobs", "clear").stderr
    assert "6 jobs are forgotten." in cleared
    assert "1 run that measured is kept" in cleared
    assert [job.id for job in records.measured(None, 9)] == [1]
    assert "3 jobs are forgotten." in run("jobs", "clear", "--measured").stderr
    assert records.jobs() == []
    assert "0 jobs are forgotten." in run("jobs", "clear").stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["jobs", "show", "7"], 1, "no job 7"),
        (["jobs", "log", "7"], 1, "no job 7"),
        (["jobs", "cancel", "7"], 1, "no job 7"),
        (["jobs", "watch", "7"], 1, "no job 7"),
        (["jobs", "clear", "7"], 1, "no job 7"),
        (["convert", "no-such", "--format", "onnx"], 1, "no-such"),
        (["convert", "sightline-webcam", "--format", "onnx", "--input-size", "big"], 2, "size"),
        (["tune", "sightline-webcam", "--engine", "cuda"], 2, "engines"),
        (["tune", "sightline-webcam", "--batch", "0"], 2, "batches"),
        (["tune", "sightline-webcam", "--input-size", "big"], 2, "input_size"),
    ],
)
def test_what_can_not_be_is_said_in_a_sentence(
    run: Run, arguments: list[str], status: int, said: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == status
    assert said in result.stderr
    assert "Traceback" not in result.stderr
