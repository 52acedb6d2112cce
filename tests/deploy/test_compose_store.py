"""What PostgreSQL, the password before changes and data sets add to the compose file."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from tests.conftest import ROOT

COMPOSE = ROOT / "deploy" / "compose"
MADE_IN = "/var/lib/sightline/postgres"


def services(name: str) -> dict[str, Any]:
    """Return the services of a compose file as they are written."""
    path = ROOT / name if name == "docker-compose.yml" else COMPOSE / name
    found: dict[str, Any] = yaml.safe_load(path.read_text())["services"]
    return found


def script(service: dict[str, Any]) -> str:
    """Return the script that a service runs, as its shell sees it."""
    shell, options, text = service["command"]
    assert (shell, options) == ("sh", "-ec")
    return str(text).replace("$$", "$")


def run(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with no variables but the path."""
    return subprocess.run(
        ["sh", "-ec", text],
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_database_is_reached_by_the_server_alone() -> None:
    added = yaml.safe_load((COMPOSE / "postgres.yml").read_text())
    assert added["networks"] == {"database": {"internal": True}}
    there = {
        name for name, one in added["services"].items() if "database" in one.get("networks", ())
    }
    assert there == {"backend", "postgres"}
    assert added["services"]["postgres"]["networks"] == ["database"]
    assert "ports" not in added["services"]["postgres"]


def test_the_databases_address_names_a_file_in_place_of_a_password() -> None:
    added = services("postgres.yml")
    url = make_url(added["backend"]["environment"]["SIGHTLINE_DATABASE_URL"])
    database = added["postgres"]["environment"]
    assert url.password is None
    assert (url.username, url.database) == (database["POSTGRES_USER"], database["POSTGRES_DB"])
    assert url.query == {"passfile": f"{MADE_IN}/pgpass"}
    assert added["backend"]["volumes"] == [f"postgres-password:{MADE_IN}:ro"]
    assert database["POSTGRES_PASSWORD_FILE"].rpartition("/") == ("/run/sightline", "/", "password")
    assert "postgres-password:/run/sightline:ro" in added["postgres"]["volumes"]
    assert MADE_IN in (ROOT / "backend" / "Dockerfile").read_text()  # it belongs to the program


def test_the_databases_password_is_made_once_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    whole = script(services("postgres.yml")["prepare"])
    lines = script(services("docker-compose.yml")["prepare"]).splitlines()
    first, last = (whole.index(line) for line in lines)  # what it does else is done, too
    own = whole[whole.index("umask 077") : whole.index("umask 022")]
    assert first < whole.index(own) < last
    for _ in range(2):
        done = run(own.replace(MADE_IN, str(tmp_path)).replace("python -c", "python3 -c"), tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        password = (tmp_path / "password").read_text()
        kept = (tmp_path / "pgpass").read_text()
        assert len(password) >= 32
        assert kept == f"postgres:5432:*:sightline:{password}\n"
        assert ":" not in password
        assert sorted(path.name for path in tmp_path.iterdir()) == ["password", "pgpass"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"password": 0o440, "pgpass": 0o600}  # libpq takes no other
    (tmp_path / "password").unlink()
    run(own.replace(MADE_IN, str(tmp_path)).replace("python -c", "python3 -c"), tmp_path)
    assert (tmp_path / "password").read_text() != password


@pytest.mark.parametrize("name", ["backend", "frontend"])
@pytest.mark.parametrize(
    ("held", "starts"), [(None, False), ("", False), ("\n", False), ("a-token\n", True)]
)
def test_neither_program_starts_without_the_password_that_was_asked_for(
    tmp_path: Path, name: str, held: str | None, starts: bool
) -> None:
    text = script(services("admin.yml")[name])
    begun = [line for line in text.splitlines() if line.startswith("exec python")]
    (started,) = begun
    dockerfile = (ROOT / name / "Dockerfile").read_text()
    command = ", ".join(f'"{word}"' for word in started.removeprefix("exec ").split())
    assert f"CMD [{command}]" in dockerfile
    if held is not None:
        (tmp_path / "admin-token").write_text(held)
    text = text.replace("/run/secrets", str(tmp_path))
    done = run(text.replace(started, "exec printenv SIGHTLINE_ADMIN_TOKEN"), tmp_path)
    assert (done.returncode == 0) is starts
    assert done.stdout == ("a-token\n" if starts else "")
    assert services("admin.yml")[name]["secrets"] == ["admin-token"]


def test_data_sets_are_read_and_never_written() -> None:
    backend = services("data.yml")["backend"]
    (mount,) = backend["volumes"]
    assert mount.endswith(f":{backend['environment']['SIGHTLINE_DATA_DIR']}:ro")
