"""Bring a database up to date, once, however many processes start at the same time."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from sightline_backend.errors import StoreError
from sightline_backend.store.migrations import REVISIONS

_ADVISORY_LOCK = 0x5167687431  # any number that others of the same database don't use


def is_current(engine: Engine, name: str) -> bool:
    """Tell whether a database has today's tables.

    Raises StoreError for one that a newer program made.
    """
    with engine.connect() as connection:
        found = _revision(connection)
    if found is not None and found not in REVISIONS:
        raise StoreError(
            f"The database {name} was made by a newer Sightline (revision {found}; this one knows "
            f"up to {REVISIONS[-1]}). Update Sightline, or name another folder in "
            "SIGHTLINE_MODELS_DIR or another database in SIGHTLINE_DATABASE_URL."
        )
    return found == REVISIONS[-1]


def upgrade(engine: Engine) -> None:
    """Run the migrations that are missing, all of them or none.

    `engine` begins its transactions as writers do. On PostgreSQL one process at a time gets
    through; on SQLite the caller sees to that.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
