"""How a database is connected to: SQLite's pragmas and transactions, PostgreSQL's driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from sightline_backend.errors import StoreError

SQLITE_NAME = "sightline.db"
WRITES = "sightline_writes"  # execution option: this transaction will write
WAIT_S = 10  # for another writer, or for a server to answer


def database_url(folder: Path, asked: str | None) -> URL:
    """Return the address that is set, or that of the file in the store's folder."""
    if asked is None:
        return URL.create("sqlite", database=str(folder / SQLITE_NAME))
    try:
        url = make_url(asked)
    except ArgumentError:
        url = URL.create("none")
    match url.drivername:
        case "sqlite":
            return url
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return url.set(drivername="postgresql+psycopg")
        case _:
            raise StoreError(
                "SIGHTLINE_DATABASE_URL is no address of a database that can be used; this is one: "
                "postgresql+psycopg://user:password@host/sightline. Unset, it is SQLite."
            )


def is_sqlite(url: URL) -> bool:
    """Tell whether an address is of a SQLite file."""
    return url.drivername == "sqlite"


def engine_for(url: URL, *, read_only: bool) -> Engine:
    """Return an engine; SQLite's folder is made, nothing is connected to yet. Raises StoreError."""
    if is_sqlite(url):
        return _sqlite(url, read_only=read_only)
    try:
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": WAIT_S})
    except ImportError as error:
        raise StoreError(
            f"PostgreSQL's driver isn't installed ({error}): pip install "
            "'sightline-backend[postgres]'."
        ) from error


def _sqlite(url: URL, *, read_only: bool) -> Engine:
    file = Path(url.database or "")
    if read_only:
        url = _as_it_is(file)
    else:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(file.parent, error.strerror or str(error)) from error
    engine = create_engine(url, connect_args={"timeout": WAIT_S})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        connection.execute("PRAGMA foreign_keys=ON")
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")  # readers and a writer don't wait

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A reader that turned writer half way would be refused if another wrote in between.
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _as_it_is(file: Path) -> URL:
    """Return how to read a file in a folder where SQLite can't make its own files beside it."""
    if not file.is_file():
        raise _unwritable(file.parent, "it is read-only")
    # A write-ahead log may hold what the file doesn't; without one nothing can change.
    how = {"mode": "ro"} if Path(f"{file}-wal").exists() else {"immutable": "1"}
    return URL.create("sqlite", database=file.absolute().as_uri(), query={"uri": "true", **how})


def _unwritable(folder: Path, reason: str) -> StoreError:
    return StoreError(
        f"The folder {folder} can't be written: {reason}. Make it writable for this user, or name "
        "another one in SIGHTLINE_MODELS_DIR."
    )
