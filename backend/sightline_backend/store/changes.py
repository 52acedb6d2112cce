"""Names and descriptions that people change."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError

from sightline_backend.errors import NameTakenError, NotPossibleError
from sightline_backend.models.names import check_name
from sightline_backend.store.about import write_about
from sightline_backend.store.database import Database
from sightline_backend.store.files import Files
from sightline_backend.store.locks import unused
from sightline_backend.store.rows import find_model
from sightline_backend.store.tables import ArtefactRow, ModelRow
from sightline_backend.store.texts import DESCRIPTION_LENGTH, checked
from sightline_engines.assets import RESERVED, SHIPPED_NAME
from sightline_engines.types import Format


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Changes what is said of models."""

    database: Database
    files: Files

    def rename(self, name: str, new: str) -> None:
        """Give a model another name, unless a server has it loaded or a job works on it."""
        check_name(new)
        refuse_reserved(new)
        with self.database.reading() as session:
            model = find_model(session, name)
            if model.name == SHIPPED_NAME:
                raise NotPossibleError(f"{model.name} ships with Sightline and keeps its name.")
            rows = [(row.sha256, Format(row.format)) for row in _artefacts(model)]
        try:
            with ExitStack() as held:
                for sha256, kind in set(rows):
                    held.enter_context(unused(self.files.path(sha256, kind)))
                with self.database.session() as session:
                    model = find_model(session, name)
                    model.name, model.folded = new, new.casefold()
        except IntegrityError as error:
            raise taken(new) from error
        write_about(self.database, self.files, (sha256 for sha256, _ in rows))

    def describe(self, name: str, text: str) -> None:
        """Say what a model is for."""
        with self.database.session() as session:
            model = find_model(session, name)
            model.description = checked("description", text, DESCRIPTION_LENGTH)
            hashes = [row.sha256 for row in _artefacts(model) if model.name != SHIPPED_NAME]
        write_about(self.database, self.files, hashes)


def refuse_reserved(name: str) -> None:
    """Raise NameTakenError for what a file that ships is called beside its model."""
    if name.casefold() in RESERVED:
        raise NameTakenError(
            f"{name} is what a file of {SHIPPED_NAME} is called, which ships with Sightline. "
            "Give another name."
        )


def taken(name: str) -> NameTakenError:
    """Return what to say to who wants a name that another model has."""
    return NameTakenError(
        f"There is a model {name} already. Give another name (--name), add yours as a version of "
        f"that one (--version-of {name}), or remove it first: sightline models remove {name}"
    )


def _artefacts(model: ModelRow) -> list[ArtefactRow]:
    return [artefact for version in model.versions for artefact in version.artefacts]
