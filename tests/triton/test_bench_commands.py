"""The commands `bench` and `sweep` as a user runs them, and ends them, at a real tritonserver."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from sightline_backend.cli.triton_bench import bench, sweep
from sightline_engines.triton.bench.sweep import Swept
from sightline_engines.triton.bench.trial import BEFORE_FILE
from tests.triton.at_triton import AtTriton
from tests.triton.echo import CONFIG, NAME, echoing, left_alone, on_disk
from tests.triton.environment import TritonEnvironment


@pytest.fixture(scope="module")
def triton(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AtTriton]:
    with echoing(triton_environment, tmp_path_factory.mktemp("commands")) as running:
        yield running


@pytest.fixture
def unchanged(triton: AtTriton) -> Iterator[None]:
    with left_alone(triton):
        yield


def run(*words: str) -> Result:
    """Run one of the commands as a user would."""
    app = typer.Typer()
    app.command()(bench)
    app.command()(sweep)
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "120", "SIGHTLINE_MODELS_DIR": "m"})


def words(triton: AtTriton, command: str, *more: str) -> tuple[str, ...]:
    return (command, NAME, "--grpc-url", triton.server.grpc_url, "--warmup", "1", *more)


def test_bench_shows_each_load_and_writes_a_table(triton: AtTriton, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    more = ("--concurrency", "1,2", "--requests", "5", "--output", str(output))
    result = run(*words(triton, "bench", *more))
    assert result.exit_code == 0, result.output
    for part in ("1 in flight", "2 in flight", "p99 ms", "Inside the server", "Sent: "):
        assert part in result.output
    rows = list(csv.DictReader(output.read_text().splitlines()))
    assert [(row["load"], row["requests"]) for row in rows] == [
        ("1 in flight", "5"),
        ("2 in flight", "5"),
    ]


def test_bench_writes_json_with_perf_analyzer_beside_it(
    triton: AtTriton, triton_environment: TritonEnvironment
) -> None:
    more = ("--window-s", "0.5", "--tolerance", "100", "--json", "--perf-analyzer")
    result = run(*words(triton, "bench", *more, str(triton_environment.perf_analyzer)))
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert found["complete"]
    assert found["requests"] > 0
    assert found["perf_analyzer"]["ratio"] > 0
    assert found["perf_analyzer"]["pictures_per_s"] > 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--concurrency", "0"), "whole numbers of 1 or more"),
        (("--concurrency", "2", "--rate", "5"), "give one of them"),
        (("--rate", "quick"), "numbers above 0"),
        (("--shape", "3,4"), "must name the input"),
        (("--shape", "x:3,y"), "whole numbers"),
        (("--output", "out.txt"), ".json or .csv"),
        (("--perf-analyzer", "/nowhere/perf_analyzer"), "isn't a program here"),
        (("--picture", "/nowhere.jpg"), "/nowhere.jpg"),
    ],
)
def test_bench_says_what_is_wrong_with_the_asking(
    triton: AtTriton, more: tuple[str, ...], said: str
) -> None:
    result = run(*words(triton, "bench", *more))
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())


def test_the_sweep_shows_what_it_tried_and_why_it_chose(triton: AtTriton, unchanged: None) -> None:
    more = ("--latency-limit-ms", "100000", "--repository", str(triton.folder), "--no-write")
    quick = ("--instances", "1", "--queue-delays-us", "0", "--window-s", "0.3")
    result = run(*words(triton, "sweep", *more, *quick, "--tolerance", "100"))
    assert result.exit_code == 0, result.output
    for part in ("pictures/s", "1 of 1 settings stay within", "is as it was."):
        assert part in result.output


def test_a_sweep_that_finds_nothing_ends_with_status_1(triton: AtTriton, tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    more = ("--latency-limit-ms", "0.001", "--repository", str(triton.folder))
    quick = ("--instances", "1", "--queue-delays-us", "0", "--window-s", "0.3")
    result = run(
        *words(triton, "sweep", *more, *quick, "--tolerance", "100", "--output", str(output))
    )
    assert result.exit_code == 1
    assert "No setting stays within" in result.output
    found: dict[str, Any] = json.loads(output.read_text())
    assert found["choice"]["best"] is None
    assert set(found) == set(Swept.__dataclass_fields__)


def start_sweep(triton: AtTriton) -> subprocess.Popen[str]:
    """Begin a sweep as a program of its own; returns as it tries the second setting."""
    code = "from sightline_backend.cli.main import app; app()"
    more = ("--latency-limit-ms", "100000", "--repository", str(triton.folder))
    long = ("--instances", "2", "--queue-delays-us", "0", "--window-s", "0.7")
    asked = (*words(triton, "sweep", *more, *long), "--tolerance", "100")
    process = subprocess.Popen(
        [sys.executable, "-c", code, "triton", *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until_s = time.monotonic() + 60
    while on_disk(triton, NAME) == CONFIG and process.poll() is None:
        assert time.monotonic() < until_s
        time.sleep(0.005)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_sweep_that_is_ended_puts_back_what_was_there(
    triton: AtTriton, unchanged: None, number: signal.Signals
) -> None:
    process = start_sweep(triton)
    try:
        process.send_signal(number)
        told, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    assert "Stopped before all was tried; echo is as it was." in told
    assert not (triton.folder / NAME / BEFORE_FILE).exists()


def test_what_a_killed_sweep_left_is_put_back_by_the_next(
    triton: AtTriton, unchanged: None
) -> None:
    more = ("--latency-limit-ms", "100000", "--repository", str(triton.folder), "--no-write")
    quick = ("--instances", "1", "--queue-delays-us", "0", "--window-s", "0.3")
    process = start_sweep(triton)
    try:
        result = run(*words(triton, "sweep", *more, *quick))
        assert "Another sweep tries settings of echo" in " ".join(result.output.split())
    finally:
        process.kill()
        process.communicate()
    assert on_disk(triton, NAME) != CONFIG
    assert (triton.folder / NAME / BEFORE_FILE).read_text() == CONFIG
    result = run(*words(triton, "sweep", *more, *quick, "--tolerance", "100"))
    assert "An earlier sweep was killed at its work" in result.output
    assert not (triton.folder / NAME / BEFORE_FILE).exists()
