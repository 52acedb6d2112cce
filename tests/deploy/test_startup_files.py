"""startup.sh and the files it finds: `.env`, COMPOSE_FILE in it, and what containers must read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.stand_in_docker import Answer, Machine

GPU = {"*": Answer("NVIDIA L4\n")}
NVIDIA_RUNTIME = {"info *": Answer('{"Runtimes":{"nvidia":{"path":"nvidia-container-runtime"}}}\n')}
MAIN, GPU_FILE, HTTPS_FILE, TURN_FILE = (
    "docker-compose.yml",
    *(f"deploy/compose/{name}.yml" for name in ("gpu", "https", "turn")),
)
DOMAIN = {"SIGHTLINE_DOMAIN": "cams.example.org", "SIGHTLINE_TLS": "internal"}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine without docker."""
    return Machine(tmp_path)


def test_settings_are_read_from_the_file_as_compose_reads_it(machine: Machine) -> None:
    machine.env_file.write_text(
        "SIGHTLINE_DOMAIN=first.example.org\nexport SIGHTLINE_DOMAIN='cams.example.org' # ours\n"
        'SIGHTLINE_TLS = "ops@example.org"\n'
    )
    machine.has_docker()
    run = machine.run("--https")
    assert "Page     https://cams.example.org\n" in run.out


def test_a_file_that_compose_cannot_read_is_named(machine: Machine) -> None:
    machine.env_file.write_text("a b=c\n")
    machine.has_docker()
    run = machine.run()
    assert run.status == 1
    assert "fail  .env" in run.err
    assert "Compose can't read it" in run.err


@pytest.mark.parametrize(
    ("named", "options", "started"),
    [
        (MAIN, (), MAIN),
        (f"{MAIN}:{TURN_FILE}", (), f"{MAIN}:{TURN_FILE}"),
        (f"{MAIN}:{TURN_FILE}", ("--https",), f"{MAIN}:{TURN_FILE}:{HTTPS_FILE}"),
        (f"{MAIN}:{HTTPS_FILE}", ("--https",), f"{MAIN}:{HTTPS_FILE}"),
        (f"{MAIN}:{HTTPS_FILE}", ("--gpu",), f"{MAIN}:{HTTPS_FILE}:{GPU_FILE}"),
        (f"{MAIN}:{GPU_FILE}:{HTTPS_FILE}", (), f"{MAIN}:{GPU_FILE}:{HTTPS_FILE}"),
        (f"{MAIN}:{GPU_FILE}:{HTTPS_FILE}", ("--cpu",), f"{MAIN}:{HTTPS_FILE}"),
    ],
)
def test_what_env_names_stays_and_options_are_remembered_there(
    machine: Machine, named: str, options: tuple[str, ...], started: str
) -> None:
    machine.has("nvidia-smi", GPU)
    machine.has_docker(NVIDIA_RUNTIME)
    machine.env |= {**DOMAIN, "SIGHTLINE_TURN_USER": "camera", "SIGHTLINE_TURN_PASSWORD": "00ff"}
    machine.env_file.write_text(f"A=1\nCOMPOSE_FILE={named}\nB=2\n")
    machine.env_file.chmod(0o600)
    assert machine.run(*options).status == 0
    assert machine.variable_at_up("COMPOSE_FILE") == started
    lines = machine.env_file.read_text().splitlines()
    assert sorted(lines) == ["A=1", "B=2", f"COMPOSE_FILE={started}"]
    assert machine.run().status == 0  # an upgrade, say
    assert machine.variable_at_up("COMPOSE_FILE") == started


@pytest.mark.parametrize("option", ["--cpu", "--gpu", "--https"])
def test_a_first_choice_holds_for_later_starts(machine: Machine, option: str) -> None:
    machine.has("nvidia-smi", GPU)
    machine.has_docker(NVIDIA_RUNTIME)
    machine.env |= DOMAIN
    assert machine.run(option).status == 0
    (line,) = machine.env_file.read_text().splitlines()
    assert machine.env_file.stat().st_mode & 0o077 == 0
    assert machine.run().status == 0
    assert line == f"COMPOSE_FILE={machine.variable_at_up('COMPOSE_FILE')}"


def test_files_named_in_the_shell_are_kept_and_the_difference_is_told(machine: Machine) -> None:
    machine.has_docker()
    machine.env |= {**DOMAIN, "COMPOSE_FILE": f"{MAIN}:mine.yml"}
    run = machine.run("--https")
    assert machine.variable_at_up("COMPOSE_FILE") == f"{MAIN}:mine.yml:{HTTPS_FILE}"
    assert "warn  files" in run.err
    assert not machine.env_file.exists()


def test_an_override_of_the_users_own_is_not_lost(machine: Machine) -> None:
    machine.has_docker()
    machine.env |= DOMAIN
    (machine.folder / "docker-compose.override.yml").touch()
    machine.run("--https")
    expected = f"{MAIN}:docker-compose.override.yml:{HTTPS_FILE}"
    assert machine.variable_at_up("COMPOSE_FILE") == expected


def test_a_gpu_that_is_gone_is_a_failure_where_it_was_chosen(machine: Machine) -> None:
    machine.has_docker()
    machine.env_file.write_text(f"COMPOSE_FILE={MAIN}:{GPU_FILE}\n")
    run = machine.run()
    assert run.status == 1
    assert "./startup.sh --cpu" in run.err


@pytest.mark.parametrize("password", ['p"q', "p\\q", "p q", "p:q"])
def test_a_password_that_turn_cannot_have_is_refused(machine: Machine, password: str) -> None:
    machine.has_docker()
    machine.env |= {
        "COMPOSE_FILE": f"{MAIN}:{TURN_FILE}",
        "SIGHTLINE_TURN_USER": "camera",
        "SIGHTLINE_TURN_PASSWORD": password,
    }
    run = machine.run()
    assert run.status == 1
    assert "letters, digits" in run.err


def test_turns_password_in_a_file_for_all_is_a_warning(machine: Machine) -> None:
    machine.has_docker()
    machine.env_file.write_text(
        f"COMPOSE_FILE={MAIN}:{TURN_FILE}\n"
        "SIGHTLINE_TURN_USER=camera\nSIGHTLINE_TURN_PASSWORD=00ff\n"
    )
    machine.env_file.chmod(0o644)
    assert "chmod 600 .env" in machine.run().err
    machine.env_file.chmod(0o600)
    assert machine.run().err == ""


def test_files_that_a_container_cannot_read_are_named(machine: Machine) -> None:
    machine.has_docker()
    rules = machine.folder / "monitoring" / "prometheus"
    rules.mkdir(parents=True)
    (rules / "__pycache__").mkdir(0o700)
    assert machine.run().status == 0
    rules.chmod(0o700)
    run = machine.run()
    assert run.status == 1
    assert "monitoring/prometheus can't be read" in run.err
    assert "chmod -R a+rX" in run.err
