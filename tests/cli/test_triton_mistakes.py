"""`sightline triton` asked wrongly, or of a Triton that is not there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.running import free_port

COMMANDS = (
    *("status", "list", "deploy", "rollback", "remove", "load", "unload", "stats", "predict"),
    "serve",
)
ASKS = (
    ("status",),
    ("deploy", "sightline-webcam"),
    ("rollback", "cam"),
    ("remove", "cam"),
    ("load", "cam"),
    ("unload", "cam"),
    ("stats",),
    ("predict", "a.jpg"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    result = run("triton", command, "--help")
    assert result.exit_code == 0
    assert f"sightline triton {command}" in result.stdout


@pytest.mark.parametrize("command", ASKS, ids=lambda command: command[0])
def test_without_an_address_the_ways_to_one_are_named(run: Run, command: Sequence[str]) -> None:
    repository = () if command[0] in ("stats", "predict") else ("--repository", "r")
    result = run("triton", *command, *repository)
    assert result.exit_code == 1
    assert "--grpc-url" in result.stderr
    assert "sightline triton serve" in result.stderr


@pytest.mark.parametrize("command", [("list",), *ASKS[1:4]], ids=lambda command: command[0])
def test_without_a_repository_the_way_to_one_is_named(run: Run, command: Sequence[str]) -> None:
    given = () if command[0] == "list" else ("--grpc-url", "127.0.0.1:1")
    result = run("triton", *command, *given)
    assert result.exit_code == 1
    assert "SIGHTLINE_TRITON_REPOSITORY" in result.stderr


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("command", [("status",), ("load", "cam"), ("deploy", "sightline-webcam")])
def test_a_triton_that_is_away_is_named_with_its_address(
    run: Run, tmp_path: Path, command: Sequence[str], protocol: str
) -> None:
    away = f"127.0.0.1:{free_port()}"
    result = run("triton", *command, f"--{protocol}-url", away, "--repository", tmp_path)
    assert result.exit_code == 1
    assert away in result.stderr
    assert "Traceback" not in result.stderr
    assert run("triton", "list", "--repository", tmp_path, "--json").stdout == (
        json.dumps({"deployments": []}, indent=2) + "\n"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--labels", "labels.txt"], "--classifier"),
        (["--classifier", "a.onnx"], "--labels"),
        (["--gpus", "first"], "--gpus"),
        (["--preferred-batch-sizes", "4;8"], "--preferred-batch-sizes"),
        (["--set", "response_cache"], "response_cache=true"),
        (["--set", "colour=blue"], "colour"),
        (["--set", "warmup=perhaps"], "warmup"),
        (["--config", "missing.json"], "missing.json"),
        (["--instance-count", "1000000"], "instance_count"),
        (["--url", "http://127.0.0.1:1", "--classifier", "a", "--labels", "b"], "--url"),
        (["--url", "http://127.0.0.1:1"], "No Sightline server answers"),
        (["--force", "--reason", "why"], "--url"),
        (["--url", "http://127.0.0.1:1", "--force"], "--reason"),
    ],
)
def test_a_mistake_is_named_before_triton_is_asked(
    run: Run, options: Sequence[str], said: str
) -> None:
    result = run("triton", "deploy", "sightline-webcam", "--grpc-url", "127.0.0.1:1", *options)
    assert result.exit_code == 1
    assert said in result.stderr


@pytest.mark.parametrize(("text", "said"), [("", "JSON"), ("[]", "object"), ('{"x": 1}', "x")])
def test_a_config_file_that_is_none_is_named(
    run: Run, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "config.json").write_text(text)
    result = run("triton", "deploy", "cam", "--config", tmp_path / "config.json")
    assert result.exit_code == 1
    assert said in result.stderr
