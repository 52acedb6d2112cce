"""Stores to test with: on SQLite, and on a PostgreSQL server of this test run's own."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from sightline_backend.store.store import Store, open_store
from sightline_engines.assets import shipped_model
from tests.conftest import missing

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Run a server on a socket of its own; gives its address."""
    found = shutil.which("initdb")
    homes = [Path(found).resolve().parent] if found else []
    homes += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not homes:
        missing("PostgreSQL is not installed (Debian's package is postgresql)")
    user = _plain_user()
    folder = Path(tempfile.mkdtemp(prefix="sightline-pg-"))
    try:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        data, log = folder / "data", folder / "log"
        _run(user, homes[-1] / "initdb", "-D", data, "-A", "trust", "-U", "tester", "--no-sync")
        options = f"-k {folder} -h '' -c fsync=off -c max_connections=50"
        control = homes[-1] / "pg_ctl"
        _run(user, control, "-D", data, "-l", log, "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://tester@/postgres?host={folder}"
        finally:
            _run(user, control, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _plain_user() -> str | None:
    """Return whom to run the server as, since it refuses root; None: as who runs the tests."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _run(user: str | None, *command: str | Path) -> None:
    done = subprocess.run(
        list(map(str, command)),
        user=user,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"


@pytest.fixture
def empty_postgres(postgres: str) -> str:
    """Return the address of an empty database."""
    name = f"test{next(_numbers)}"
    engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgres.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Return what SIGHTLINE_DATABASE_URL would be: None for SQLite in the store's folder."""
    return None if request.param == "sqlite" else request.getfixturevalue("empty_postgres")


@pytest.fixture
def store(tmp_path: Path, database_url: str | None) -> Iterator[Store]:
    """Return a store that nobody has used yet, on each database in turn."""
    with closing(open_store(tmp_path / "models", database_url)) as store:
        yield store


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Store]:
    """Return a store on SQLite that nobody has used yet."""
    with closing(open_store(tmp_path / "models")) as store:
        yield store


@pytest.fixture
def my_model(tmp_path: Path) -> Path:
    """Return somebody's own ONNX file, without a sidecar."""
    return Path(shutil.copy(shipped_model(), tmp_path / "my model.onnx"))


@pytest.fixture
def restarted(tmp_path: Path, database_url: str | None) -> Iterator[Callable[[], Store]]:
    """Return what opens the same store as the next process would."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(closing(open_store(tmp_path / "models", database_url)))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user of this machine may enter."""
    with tempfile.TemporaryDirectory(prefix="sightline-read-only-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
