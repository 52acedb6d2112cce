"""The command itself: what it offers, and what it says to mistakes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sightline_backend.version import VERSION
from tests.cli.conftest import Run
from tests.cli.running import SIGHTLINE

COMMANDS = (
    "up",
    "serve",
    "detect",
    "models",
    "convert",
    "benchmark",
    "tune",
    "jobs",
    "triton",
    "doctor",
)


def test_help_names_every_command(run: Run) -> None:
    said = run("--help").stdout
    assert all(name in said for name in COMMANDS)


def test_version_is_said(run: Run) -> None:
    assert run("--version").stdout == f"sightline {VERSION}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"sightline {command}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "nonsense"),
        (["detect"], "PICTURE_OR_CLIP"),
        (["detect", "a.jpg", "--conf", "2"], "--conf"),
        (["detect", "a.jpg", "--format", "xml"], "json"),
        (["up", "--backend-port", "0"], "--backend-port"),
        (["up", "--engine", "abacus"], "openvino"),
        (["serve", "--port", "70000"], "--port"),
        (["models", "pull"], "name"),
    ],
)
def test_a_mistake_in_the_options_is_named_with_status_2(
    run: Run, arguments: list[str], said: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_help_loads_no_engine() -> None:
    code = "import sys, sightline_backend.cli.main; print('openvino' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_serve_ends_with_a_sentence_when_its_model_is_missing() -> None:
    command = [*SIGHTLINE, "serve", "--model", "no-such-model", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no-such-model" in done.stderr
    assert "Traceback" not in done.stderr
