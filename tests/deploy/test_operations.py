"""The operations guide names what is there, and its commands find what they look for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from sqlalchemy import make_url, text

from sightline_backend.settings import Settings as ServerSettings
from sightline_backend.store.store import open_store
from sightline_frontend.settings import Settings as PageSettings
from sightline_monitoring.metrics import Metrics
from tests.conftest import ROOT
from tests.models.conftest import empty_postgres, postgres

__all__ = ["empty_postgres", "postgres"]  # fixtures of this module, too

GUIDE = (ROOT / "docs" / "operations.md").read_text()
CLUSTER_GUIDE = (ROOT / "deploy" / "kubernetes" / "README.md").read_text()
COMPOSE = sorted([ROOT / "docker-compose.yml", *(ROOT / "deploy" / "compose").glob("*.yml")])
MODELS = Path("/var/lib/sightline/models")
GREPS = re.findall(r"/metrics \\\| grep (?:-E )?'?(\^[^`']+)'?`", GUIDE)


@pytest.mark.parametrize("text", [GUIDE, CLUSTER_GUIDE], ids=["compose", "kubernetes"])
def test_every_variable_it_names_is_read_by_somebody(text: str) -> None:
    fields = {*ServerSettings.model_fields, *PageSettings.model_fields}
    compose = "".join(file.read_text() for file in COMPOSE)
    for name in set(re.findall(r"\b(?:SIGHTLINE|PROMETHEUS|[A-Z]+)_[A-Z_]*[A-Z]\b", text)):
        known = name.removeprefix("SIGHTLINE_").lower() in fields or f"${{{name}" in compose
        assert known or name in ("COMPOSE_FILE",), name


@pytest.mark.parametrize("pattern", GREPS)
def test_every_grep_for_metrics_finds_some(pattern: str) -> None:
    metrics = generate_latest(Metrics().registry).decode()
    pattern = pattern.replace("\\|", "|")
    found = subprocess.run(
        ["grep", "-cE", pattern], input=metrics, capture_output=True, text=True, check=False
    )
    alternatives = 1 + pattern.count("|")
    if "engine)_memory" in pattern:  # an engine's own is there once one runs
        alternatives = 1
    assert int(found.stdout) >= alternatives, pattern


def test_it_greps_for_metrics_at_all() -> None:
    assert len(GREPS) >= 5


def test_backup_and_restore_name_every_volume_that_holds_anything() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    made_anew = {"alertmanager-config"}
    loops = re.findall(r"for volume in (.+); do", GUIDE)
    assert len(loops) == 2
    for loop in loops:
        assert set(loop.split()) == set(compose["volumes"]) - made_anew
    assert compose["name"] == "sightline"  # the volumes' prefix


def backed_up(start: Path, backup: Path) -> str:
    """Return the guide's commands that back a folder of models up, as they are for `start`."""
    (copying,) = re.findall(r"exec -T backend (python -c \"\n.+?\")\n", GUIDE, re.DOTALL)
    (packing,) = re.findall(r"(--numeric-owner .*-C /from -czf \S+ \.)\n", GUIDE)
    copied = copying.replace("python", sys.executable, 1)
    packed = packing.replace("/from", str(start)).replace('"/to/', f'"{backup}/')
    return f"{copied.replace(str(MODELS), str(start))}\nvolume=models; tar {packed}"


def restored(backup: Path, end: Path) -> str:
    """Return the guide's commands that bring it back."""
    (unpacking,) = re.findall(r"(find /to .+?)\"\n", GUIDE)
    return "volume=models; " + re.sub(
        r"/(from|to)\b", lambda found: str(backup if found[1] == "from" else end), unpacking
    )


def test_models_and_their_index_come_back_from_a_backup_taken_while_it_is_written(
    tmp_path: Path,
) -> None:
    start, backup, end = (tmp_path / name for name in ("from", "backup", "to"))
    for folder in (start / "files", start / "jobs" / "1", backup, end):
        folder.mkdir(parents=True)
    (start / "files" / "my.onnx").write_bytes(b"model")
    (start / "files" / "my.onnx").chmod(0o640)
    (end / "junk").write_text("of another day")
    with closing(open_store(start)) as store:
        (shipped,) = store.models.models()
        store.models.describe(shipped.name, "before")
        with store.database.session() as session:
            session.execute(text("UPDATE models SET description = 'half a change'"))
            subprocess.run(["sh", "-ec", backed_up(start, backup)], check=True)
    subprocess.run(["sh", "-ec", restored(backup, end)], check=True)
    kept = sorted(path.name for path in end.iterdir() if "lock" not in path.name)
    assert kept == ["files", "sightline.db"]
    assert (end / "files" / "my.onnx").read_bytes() == b"model"
    assert (end / "files" / "my.onnx").stat().st_mode & 0o777 == 0o640
    with closing(open_store(end)) as store:
        assert [one.description for one in store.models.models()] == ["before"]


def test_a_volume_without_an_index_comes_back_as_it_was(tmp_path: Path) -> None:
    start, backup, end = (tmp_path / name for name in ("from", "backup", "to"))
    for folder in (start, backup, end):
        folder.mkdir()
    (start / "grafana.db").write_bytes(b"users")
    _, pack = backed_up(start, backup).rsplit("\n", 1)
    subprocess.run(["sh", "-ec", pack], check=True)
    subprocess.run(["sh", "-ec", restored(backup, end)], check=True)
    assert [path.name for path in end.iterdir()] == ["grafana.db"]


def test_postgresql_comes_back_from_its_dump(
    tmp_path: Path, empty_postgres: str, postgres: str
) -> None:
    (dumping,) = re.findall(r"exec -T postgres (pg_dump .+) > \S+\n", GUIDE)
    (restoring,) = re.findall(r"exec -T postgres (pg_restore .+) < \S+\n", GUIDE)
    with closing(open_store(tmp_path / "store", empty_postgres)) as store:
        (shipped,) = store.models.models()
        store.models.describe(shipped.name, "before")
    url = make_url(empty_postgres)
    env = {
        "PATH": os.environ["PATH"],  # noqa: TID251  where programs are
        "PGHOST": str(url.query["host"]),
        "PGUSER": str(url.username),
    }

    def run(command: str, given: bytes = b"") -> bytes:
        line = command.replace(" sightline", f" {url.database}").replace(
            "-U ", f"-U {url.username} #"
        )
        words = [word for word in line.split() if not word.startswith("#")]
        done = subprocess.run(words, input=given, capture_output=True, env=env, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    dump = run(dumping)
    with closing(open_store(tmp_path / "store", empty_postgres)) as store:
        store.models.describe(shipped.name, "after")
    run(restoring, dump)
    with closing(open_store(tmp_path / "store", empty_postgres)) as store:
        assert [one.description for one in store.models.models()] == ["before"]
