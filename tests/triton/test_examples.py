"""docs/triton.md: its examples run, its commands exist."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from sightline_backend.cli.main import app
from sightline_engines.assets import SHIPPED_NAME, shipped_model
from sightline_engines.recognise import recognise
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.server import TritonServer
from tests.backend.running import running
from tests.conftest import ROOT, missing
from tests.triton.environment import TritonEnvironment

PAGE = (ROOT / "docs" / "triton.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.M | re.S)
SHELL = [text.replace("\\\n", " ") for kind, text in BLOCKS if not kind]
COMMANDS = [
    line.partition("#")[0].strip()
    for block in SHELL
    for line in block.splitlines()
    if line.startswith("sightline ")
]
INLINE = re.findall(r"`(sightline [^`]+)`", PAGE)


def block(holds: str) -> str:
    """Return the only example that holds a text."""
    (found,) = [text for _, text in BLOCKS if holds in text]
    return found


@pytest.fixture(scope="module")
def server(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    """Run a Triton on which the shipped model is deployed."""
    folder = tmp_path_factory.mktemp("triton")
    deployments = Deployments(Repository(folder / "repository"))
    spec = replace(recognise(shipped_model()), version="1")
    deployments.point(deployments.prepare(spec, TritonConfig()))
    options = triton_environment.options(folder / "repository")
    with TritonServer(replace(options, load=(SHIPPED_NAME,)), folder / "log") as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a street.jpg in which somebody is."""
    shutil.copy(ROOT / "docs" / "live.jpg", tmp_path / "street.jpg")
    return tmp_path


def test_the_python_example_prints_what_is_in_the_picture(
    server: TritonServer, folder: Path
) -> None:
    code = block("InferenceServerClient")
    assert "127.0.0.1:8001" in code
    (folder / "example.py").write_text(code.replace("127.0.0.1:8001", server.grpc_url))
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "person 0." in done.stdout


def test_the_curl_example_asks_triton_itself(server: TritonServer, folder: Path) -> None:
    command = block("Inference-Header-Content-Length")
    assert "127.0.0.1:8003" in command
    done = shell(command.replace("127.0.0.1:8003", server.http_url), folder)
    labels = {one["class_name"] for one in json.loads(done)["detections"]}
    assert "person" in labels


async def test_the_curl_example_asks_the_servers_own_port(
    server: TritonServer, folder: Path
) -> None:
    (command, named) = block("/predict").strip().splitlines()
    settings: dict[str, Any] = {"triton_grpc_url": server.grpc_url, "triton_model": SHIPPED_NAME}
    async with running(**settings) as backend:
        for one in (command, named.replace("model=cars", f"model={SHIPPED_NAME}")):
            asked = one.replace("localhost:8000", f"127.0.0.1:{backend.port}")
            answer = json.loads(await asyncio.to_thread(shell, asked, folder))
            assert "person" in {found["class_name"] for found in answer["detections"]}


@pytest.mark.parametrize("command", [*COMMANDS, *INLINE])
def test_every_command_and_option_of_the_page_exists(command: str) -> None:
    words = shlex.split(command)[1:]
    found: Any = typer.main.get_command(app)
    while hasattr(found, "commands"):
        name = words.pop(0)
        assert name in found.commands, command
        found = found.commands[name]
    known = {name for one in found.params for name in (*one.opts, *one.secondary_opts)}
    before_others = words[: words.index("--")] if "--" in words else words
    used = {word.partition("=")[0] for word in before_others if word.startswith("-")}
    assert used <= known, command


def shell(command: str, folder: Path) -> str:
    """Run an example as a person would paste it."""
    if shutil.which("curl") is None:
        missing("no curl; Debian's package curl has it")
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
