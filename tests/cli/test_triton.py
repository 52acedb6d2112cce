"""`sightline triton`: what each command says, and what it does to a real Triton."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from sightline_backend.cli.checks import triton as checks
from sightline_backend.cli.checks.check import State
from sightline_backend.settings import Settings
from tests.cli.conftest import Run
from tests.cli.running import SIGHTLINE, Stack, free_port, running, wait_for
from tests.fakes import encoded, grey
from tests.triton.environment import TritonEnvironment
from tests.triton.tiny_classifier import CLASSES, tiny_classifier

NAME = "sightline-webcam"


@dataclass(frozen=True, slots=True)
class Served:
    """A Triton that `sightline triton serve` runs."""

    stack: Stack
    grpc_url: str
    http_url: str
    metrics_url: str
    repository: Path

    @property
    def asked(self) -> tuple[str, ...]:
        """Return the options that lead to it."""
        return "--grpc-url", self.grpc_url, "--repository", str(self.repository)


def serve_command(
    environment: TritonEnvironment, repository: Path, *more: str
) -> tuple[Sequence[str], dict[str, int]]:
    """Return a command that serves a repository on free ports, and those ports."""
    ports = {name: free_port() for name in ("grpc", "http", "metrics")}
    options = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
    python = environment.folder / "venv" / "bin" / "python3"
    given = ("--program", str(environment.program), "--python", str(python), *more)
    return (*SIGHTLINE, "triton", "serve", "--repository", str(repository), *options, *given), ports


def until_ready(stack: Stack) -> None:
    """Wait until the lines to set were said."""
    last = "SIGHTLINE_TRITON_REPOSITORY="
    wait_for(lambda: last in stack.said or stack.process.poll() is not None)
    assert stack.process.poll() is None, stack.said


@pytest.fixture(scope="module")
def served(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """Run `sightline triton serve` on an empty repository, and end it by Ctrl-C."""
    repository = tmp_path_factory.mktemp("triton") / "repository"
    command, ports = serve_command(triton_environment, repository)
    with running([*command, "--", "--allow-gpu-metrics=false"]) as stack:
        until_ready(stack)
        said = dict(line.split("=", 1) for line in stack.said.splitlines() if "_TRITON_" in line)
        assert said == {
            "SIGHTLINE_TRITON_GRPC_URL": f"127.0.0.1:{ports['grpc']}",
            "SIGHTLINE_TRITON_HTTP_URL": f"127.0.0.1:{ports['http']}",
            "SIGHTLINE_TRITON_METRICS_URL": f"http://127.0.0.1:{ports['metrics']}/metrics",
            "SIGHTLINE_TRITON_REPOSITORY": str(repository),
        }
        yield Served(
            stack,
            said["SIGHTLINE_TRITON_GRPC_URL"],
            said["SIGHTLINE_TRITON_HTTP_URL"],
            said["SIGHTLINE_TRITON_METRICS_URL"],
            repository,
        )
        stack.ctrl_c()
        assert stack.wait() == 0, stack.said


@pytest.fixture(scope="module")
def deployed(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Deploy the shipped model, in a process of its own."""
    models = str(tmp_path_factory.mktemp("models"))
    done = subprocess.run(
        [*SIGHTLINE, "triton", "deploy", NAME, *served.asked],
        env={"SIGHTLINE_MODELS_DIR": models, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{NAME}: deployment 1 serves" in done.stdout
    return served


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Return a picture's file."""
    file = tmp_path / "picture.jpg"
    file.write_bytes(encoded(grey(90, 320, 240)))
    return file


def test_a_model_is_swapped_rolled_back_unloaded_and_loaded(
    run: Run, deployed: Served, picture: Path
) -> None:
    def rows() -> list[tuple[int, bool]]:
        told = json.loads(run("triton", "list", "--json", *deployed.asked[2:]).stdout)
        return [(one["number"], one["active"]) for one in told["deployments"]]

    def said(*words: str) -> str:
        result = run("triton", *words, *deployed.asked)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def answer(*address: str) -> dict[str, Any]:
        result = run("triton", "predict", picture, "--model", NAME, *address)
        assert result.exit_code == 0, result.stderr
        told: dict[str, Any] = json.loads(result.stdout)
        return told

    first = answer("--grpc-url", deployed.grpc_url)
    assert (first["deployment"], first["width"], first["height"]) == (1, 320, 240)
    assert answer("--http-url", deployed.http_url)["detections"] == first["detections"]
    told = json.loads(said("deploy", NAME, "--instance-count", "2", "--json"))
    assert (told["number"], told["config"]["instance_count"]) == (2, 2)
    assert answer("--grpc-url", deployed.grpc_url)["deployment"] == 2
    assert rows() == [(2, True), (1, False)]
    assert "deployment 1 serves" in said("rollback", NAME)
    assert answer("--grpc-url", deployed.grpc_url)["deployment"] == 1
    table = said("status")
    assert NAME in table
    assert "answers" in table
    counting = ("stats", "--grpc-url", deployed.grpc_url, "--metrics-url", deployed.metrics_url)
    counted = json.loads(run("triton", *counting, "--json").stdout)["models"]
    pictures = next(one for one in counted if one["name"] == NAME)["statistics"]
    assert pictures["requests"] > 0
    assert pictures["p99_ms"] > 0
    assert f"{NAME}__1__detector" in run("triton", *counting).stdout
    said("unload", NAME)
    gone = run("triton", "predict", picture, "--model", NAME, "--grpc-url", deployed.grpc_url)
    assert gone.exit_code == 1
    assert NAME in gone.stderr
    said("load", NAME)
    assert answer("--grpc-url", deployed.grpc_url)["detections"] == first["detections"]
    kill(deployed, f"{NAME}__1__detector")
    settings = Settings(triton_grpc_url=deployed.grpc_url, triton_repository=deployed.repository)
    (broken,) = (c for c in checks.check_triton(settings) if c.name == f"triton {NAME}")
    assert broken.state is State.WARN
    assert f"sightline triton load {NAME}" in broken.mend
    said("load", NAME)  # what the doctor says does it
    assert answer("--grpc-url", deployed.grpc_url)["detections"] == first["detections"]


def kill(served: Served, name: str) -> None:
    """Kill the Python process of a model."""
    for one in psutil.Process(served.stack.process.pid).children(recursive=True):
        with suppress(psutil.Error):
            if any(f"/{name}/" in word for word in one.cmdline()):
                one.kill()


def test_a_classifier_is_deployed_and_names_what_it_sees(
    run: Run, served: Served, picture: Path, tmp_path: Path
) -> None:
    file, labels = tmp_path / "shades.onnx", tmp_path / "labels.txt"
    file.write_bytes(tiny_classifier())
    labels.write_text("\n".join(CLASSES))
    deployed = run(
        *("triton", "deploy", "shades", "--classifier", file, "--labels", labels),
        *("--top-k", "2", *served.asked),
    )
    assert deployed.exit_code == 0, deployed.stderr
    seen = run("triton", "predict", picture, "--model", "shades", *served.asked[:2])
    classes = json.loads(seen.stdout)["classes"]
    assert len(classes) == 2
    assert classes[0]["class_name"] in CLASSES
    assert run("triton", "remove", "shades", *served.asked).exit_code == 0
    again = run("triton", "remove", "shades", *served.asked)
    assert again.exit_code == 1
    assert "isn't deployed" in again.stderr


def test_what_is_no_picture_is_named_and_the_others_go_on(
    run: Run, deployed: Served, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "no.jpg").write_text("no picture")
    files = (tmp_path / "no.jpg", tmp_path / "gone.jpg", picture)
    result = run("triton", "predict", *files, *deployed.asked[:2])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["source"] == str(picture)
    assert "no.jpg" in result.stderr
    assert "gone.jpg" in result.stderr
    refused = run(
        *("triton", "predict", picture, "--model", "sightline-webcam_tensors"), *deployed.asked[:2]
    )
    assert "not pictures" in refused.stderr


def test_the_doctor_finds_a_healthy_triton_healthy(run: Run, deployed: Served) -> None:
    settings = Settings(triton_grpc_url=deployed.grpc_url, triton_repository=deployed.repository)
    found = {check.name: check for check in checks.check_triton(settings)}
    assert set(found) == {"triton", "triton repository", "triton sightline-webcam"}
    assert {check.state for check in found.values()} == {State.OK}, found


def test_the_doctor_tells_another_folder_from_tritons(served: Served, tmp_path: Path) -> None:
    settings = Settings(triton_grpc_url=served.grpc_url, triton_repository=tmp_path)
    found = {check.name: check for check in checks.check_triton(settings)}
    assert found["triton repository"].state is State.FAIL
    assert "another folder" in found["triton repository"].found
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "state", "said"),
    [
        ({}, State.INFO, "triton serve"),
        ({"triton_grpc_url": "127.0.0.1:1"}, State.FAIL, "127.0.0.1:1"),
        ({"triton_http_url": "127.0.0.1:1", "triton_protocol": "http"}, State.FAIL, "127.0.0.1:1"),
    ],
)
def test_the_doctor_says_of_a_triton_what_is_wrong(
    settings: dict[str, Any], state: State, said: str
) -> None:
    (found,) = checks.check_triton(Settings(**settings))
    assert found.state is state
    assert said in found.found


def test_a_port_of_anothers_is_named_before_anything_starts(
    triton_environment: TritonEnvironment, tmp_path: Path
) -> None:
    command, ports = serve_command(triton_environment, tmp_path / "repository")
    with socket.create_server(("127.0.0.1", ports["http"])):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"port {ports['http']}" in done.stderr
    assert "--http-port" in done.stderr


@pytest.mark.parametrize("program", [[], ["--program", "/no/such/tritonserver"]])
def test_without_a_tritonserver_it_says_where_one_is_to_be_had(
    run: Run, monkeypatch: pytest.MonkeyPatch, program: list[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    result = run("triton", "serve", *program)
    assert result.exit_code == 1
    assert "tritonserver" in result.stderr


def test_what_cannot_be_loaded_is_told_and_sigterm_ends_it_well(
    triton_environment: TritonEnvironment, deployed: Served, run: Run, tmp_path: Path
) -> None:
    copied = tmp_path / "repository"
    shutil.copytree(deployed.repository, copied)
    for model in copied.glob("*__detector/1/model.onnx"):
        model.write_bytes(b"damaged")
    command, _ = serve_command(triton_environment, copied)
    with running([*command, "--", "--allow-gpu-metrics=false"]) as stack:
        until_ready(stack)
        assert "sightline-webcam can't be loaded" in stack.said
        stack.process.send_signal(signal.SIGTERM)
        assert stack.wait() == 0, stack.said
    assert copied.with_name("repository.log").exists()
