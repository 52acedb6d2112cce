"""The labelled data sets that are known by name; their files are their owner's to write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from sightline_backend.errors import NameTakenError, UnknownError
from sightline_backend.store.database import Database
from sightline_backend.store.records import Dataset
from sightline_backend.store.tables import DatasetRow


class Datasets:
    """Keeps data sets by name; `folder` holds the folder of each.

    A row names that folder alone, so that the whole may be moved.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def add(self, name: str, path: Path, about: dict[str, Any]) -> Dataset:
        """Register a folder that is complete; raises NameTakenError."""
        row = DatasetRow(name=name, path=path.name, about=about)
        try:
            with self._database.session() as session:
                session.add(row)
                session.flush()
                return self._dataset(row)
        except IntegrityError as error:
            raise NameTakenError(
                f"There is a data set {name} already. Give another name, or remove that one first."
            ) from error

    def list(self) -> Sequence[Dataset]:
        """Return all of them by name."""
        if not self._database.exists:
            return []
        with self._database.reading() as session:
            rows = session.scalars(select(DatasetRow).order_by("name"))
            return [self._dataset(row) for row in rows]

    def find(self, name: str) -> Dataset:
        """Return one by its name; raises UnknownError."""
        for dataset in self.list():
            if dataset.name == name:
                return dataset
        known = ", ".join(dataset.name for dataset in self.list()) or "none"
        raise UnknownError(f"There is no data set {name[:80]!r} here; there are {known}.")

    def remove(self, name: str) -> Dataset:
        """Forget one and return what it was; its files are left. Raises UnknownError."""
        found = self.find(name)
        with self._database.session() as session:
            session.execute(delete(DatasetRow).where(DatasetRow.id == found.id))
        return found

    def _dataset(self, row: DatasetRow) -> Dataset:
        path = self._folder / Path(row.path).name  # older rows hold the whole path
        return Dataset(row.id, row.name, path, row.about, row.created_at)
