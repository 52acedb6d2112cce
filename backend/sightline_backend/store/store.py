"""The store as one thing: models, measurements, promotions and data sets over one database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sightline_backend.store.database import Database
from sightline_backend.store.datasets import Datasets
from sightline_backend.store.measurements import Measurements
from sightline_backend.store.models import ModelStore
from sightline_backend.store.promotions import Promotions


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """What is kept on this machine; for several threads and processes at once.

    Every call reads or writes files and the database, and blocks.
    """

    folder: Path
    database: Database
    models: ModelStore
    measurements: Measurements
    promotions: Promotions
    datasets: Datasets

    @property
    def jobs_folder(self) -> Path:
        """Where jobs have their workspaces."""
        return self.folder / "jobs"

    @property
    def datasets_folder(self) -> Path:
        """Where uploaded data sets lie."""
        return self.folder / "datasets"

    def close(self) -> None:
        """Close the database's connections; the next use opens them again."""
        self.database.close()


def open_store(folder: Path, database_url: str | None = None) -> Store:
    """Return the store in a folder, which need not exist; nothing is touched before it is used."""
    database = Database(folder, database_url)
    return Store(
        folder,
        database,
        ModelStore(folder, database),
        Measurements(database),
        Promotions(database),
        Datasets(database, folder / "datasets"),
    )
