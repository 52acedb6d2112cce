"""The database: opened at its first use, brought up to date, and asked in transactions."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from sightline_backend.errors import StoreError
from sightline_backend.store.connect import WRITES, database_url, engine_for, is_sqlite
from sightline_backend.store.locks import is_writable, locked
from sightline_backend.store.migrate import is_current, upgrade

_LOCK_NAME = ".database-lock"


class Database:
    """SQLite in the store's folder, or PostgreSQL by its address; for threads and processes.

    Nothing is opened before the first session, which may have to make the database or to bring
    an older one up to date.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self._folder = folder
        self._asked = url
        self._engine: Engine | None = None
        self._opening = threading.Lock()

    @property
    def exists(self) -> bool:
        """Tell whether there may be something to read; False: nothing was ever stored."""
        return self._asked is not None or self._folder.is_dir()

    @property
    def is_read_only(self) -> bool:
        """Tell whether it is a file in a folder that can't be written."""
        return self._asked is None and not is_writable(self._folder)

    @property
    def name(self) -> str:
        """What messages call it; never with a password."""
        url = database_url(self._folder, self._asked)
        return url.database or "" if is_sqlite(url) else url.render_as_string(hide_password=True)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Read and write in one transaction, committed at the block's end.

        On SQLite writers take turns from the beginning of the block on, so keep it short. Raises
        StoreError when the database can't be used; an IntegrityError is the caller's to judge.
        """
        with self._session(writes=True) as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Read in one transaction, waiting for no writer; raises StoreError."""
        with self._session(writes=False) as session:
            yield session

    @contextmanager
    def _session(self, *, writes: bool) -> Iterator[Session]:
        engine = self.open().execution_options(**{WRITES: writes})
        try:
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise self._trouble(error) from error

    def open(self) -> Engine:
        """Return the engine of an up-to-date database; blocks while it is made so."""
        with self._opening:
            if self._engine is None:
                try:
                    self._engine = self._opened()
                except SQLAlchemyError as error:
                    raise self._trouble(error) from error
            return self._engine

    def answers(self) -> bool:
        """Tell whether it can be read now."""
        try:
            with self.reading() as session:
                session.execute(text("SELECT 1"))
        except StoreError:
            return False
        return True

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def _opened(self) -> Engine:
        url = database_url(self._folder, self._asked)
        read_only = self.is_read_only
        engine = engine_for(url, read_only=read_only)
        weakref.finalize(self, engine.dispose)
        alone = is_sqlite(url) and not read_only
        folder = Path(url.database or "").parent
        # Who asks it may hold the folder's own lock.
        with locked(folder, _LOCK_NAME) if alone else nullcontext():
            if is_current(engine, self.name):
                return engine
            if read_only:
                raise StoreError(
                    f"The database {self.name} has to be brought up to date, but its folder can't "
                    "be written. Make it writable for this user, or name another folder in "
                    "SIGHTLINE_MODELS_DIR."
                )
            upgrade(engine.execution_options(**{WRITES: True}))
        return engine

    def _trouble(self, error: SQLAlchemyError) -> StoreError:
        """Say what is wrong with the database and how to go on."""
        reason = error.orig if isinstance(error, DBAPIError) else error
        said = str(reason).strip().split("\n", maxsplit=1)[0]
        if not is_sqlite(database_url(self._folder, self._asked)):
            return StoreError(
                f"The database {self.name} can't be used: {said}. Does it run, and is "
                "SIGHTLINE_DATABASE_URL right?"
            )
        if "malformed" in said or "not a database" in said:
            return StoreError(
                f"The database {self.name} is damaged ({said}). Move it away, then run `sightline "
                "models scan`: a new one is made from the files beside it. Measurements, "
                "promotions and jobs are lost with the old one."
            )
        if "full" in said or "disk I/O" in said:
            return StoreError(f"{self.name} can't be written: {said}. Make room on its disk.")
        if "readonly" in said or "unable to open" in said:
            return StoreError(
                f"{self.name} can't be written: {said}. Make it and its folder writable for this "
                "user, or name another folder in SIGHTLINE_MODELS_DIR."
            )
        return StoreError(f"The database {self.name} can't be used: {said}. Try again.")
