"""The models of this machine: the one that ships, then those that were added."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import selectinload

from sightline_backend.errors import NotAllowedError, StoreError, UnknownModelError
from sightline_backend.models.catalogue import CATALOGUE
from sightline_backend.models.names import check_name, name_from
from sightline_backend.models.recognised import RecognisedFiles
from sightline_backend.store.adding import Adding, Words
from sightline_backend.store.changes import Changes, refuse_reserved, taken
from sightline_backend.store.database import Database
from sightline_backend.store.files import Files
from sightline_backend.store.intake import Intake
from sightline_backend.store.locks import in_use
from sightline_backend.store.lookup import Lookup, SetUp
from sightline_backend.store.records import Artefact, BrokenModel, Model, ScanReport, Version
from sightline_backend.store.removal import Removal
from sightline_backend.store.rows import (
    Records,
    active_ids,
    find_artefact,
    find_model,
)
from sightline_backend.store.scan import old_layout
from sightline_backend.store.tables import ModelRow, VersionRow
from sightline_engines.assets import RESERVED, SHIPPED_NAME
from sightline_engines.errors import ModelFileError
from sightline_engines.types import ModelSpec, format_of


class ModelStore:
    """Finds, adds and removes models; `folder` need not exist yet.

    Calls read files and the database, and block. Several threads and processes may use one
    folder at once. The shipped model is found whatever state folder and database are in.
    """

    def __init__(self, folder: Path, database: Database | None = None) -> None:
        self.folder = folder
        self._database = database or Database(folder)
        self._records = Records(Files(folder), RecognisedFiles())
        self._adding = Adding(Intake(self._database, self._records.files), self._records.recognised)
        self._removal = Removal(self._database, self._records.files)
        self._changes = Changes(self._database, self._records.files)
        self._set_up = SetUp(self._database, self._records, self._adding)
        self._lookup = Lookup(self._database, self._records, self._set_up)

    def list(self) -> Sequence[ModelSpec]:
        """Return what serves under each name, the shipped one first; broken ones are left out."""
        return [one for one in self._lookup.all() if isinstance(one, ModelSpec)]

    def broken(self) -> Sequence[BrokenModel]:
        """Return the models that can't be used, and what is wrong with the store itself."""
        found = [one for one in self._lookup.all() if isinstance(one, BrokenModel)]
        return [*found, *self._lookup.lacking(), *self._lookup.left_over()]

    def find(self, name_or_path: str) -> ModelSpec:
        """Return what serves under a name, or any ONNX file by its path.

        Raises ModelFileError, listing the names there are, or StoreError.
        """
        is_path = _is_path(name_or_path)
        try:
            found = self._lookup.one(name_or_path)
        except StoreError:
            if not is_path:
                raise
            found = None
        match found:
            case ModelSpec():
                return found
            case BrokenModel():
                raise ModelFileError(f"{found.name} can't be used. {found.problem}")
        if is_path:
            return self._records.recognised.spec(Path(name_or_path).expanduser())
        raise self._unknown(name_or_path)

    def models(self) -> Sequence[Model]:
        """Return all that is stored, the shipped model first; raises StoreError."""
        self._set_up.once()
        asked = select(ModelRow).order_by(ModelRow.name != SHIPPED_NAME, ModelRow.folded)
        eager = selectinload(ModelRow.versions).selectinload(VersionRow.artefacts)
        with self._database.reading() as session:
            active = active_ids(session)
            rows = session.scalars(asked.options(eager))
            return [self._records.model(row, active.get(row.id)) for row in rows]

    def summaries(self) -> Mapping[str, tuple[str, int]]:
        """Return each stored model's description and its number of versions; never raises."""
        if not self._database.exists:
            return {}
        asked = select(ModelRow.name, ModelRow.description, func.count(VersionRow.id))
        asked = asked.outerjoin(VersionRow, VersionRow.model_id == ModelRow.id)
        try:
            self._set_up.once()
            with self._database.reading() as session:
                rows = session.execute(asked.group_by(ModelRow.id)).all()
        except StoreError:  # `list` says so
            return {}
        return {name: (description, count) for name, description, count in rows}

    def model(self, name: str) -> Model:
        """Return one model with all that is stored of it; raises UnknownModelError."""
        self._set_up.once()
        with self._database.reading() as session:
            row = find_model(session, name)
            return self._records.model(row, active_ids(session).get(row.id))

    def artefact(self, artefact_id: int) -> Artefact:
        """Return one artefact; raises UnknownError."""
        self._set_up.once()
        with self._database.reading() as session:
            row = find_artefact(session, artefact_id)
            return self._records.artefact((row, row.version, row.version.model))

    def add(  # noqa: PLR0913  what a person may say of a model
        self,
        path: Path,
        name: str | None = None,
        *,
        licence: str | None = None,
        source: str | None = None,
        description: str = "",
        origin: str = "upload",
    ) -> ModelSpec:
        """Store an ONNX file as a new model, whole or not at all, and return it as stored.

        Raises ModelFileError for a file that isn't supported, NameTakenError, StoreError.
        """
        words = Words(licence, source, description, origin)
        self._adding.recognise(path)  # a bad file is refused before anything is stored
        name = check_name(name) if name else name_from(path.stem)
        self.refuse_taken(name)
        return _runnable(self.artefact(self._adding.file(path, words, name=name)))

    def add_version(
        self,
        model: str,
        path: Path,
        *,
        licence: str | None = None,
        source: str | None = None,
        origin: str = "upload",
    ) -> Version:
        """Store an ONNX file as a model's next version, which serves once it is promoted."""
        words = Words(licence, source, origin=origin)
        number = self.artefact(self._adding.file(path, words, version_of=self.model(model).name))
        return _version(self.model(model), number)

    def add_checkpoint(  # noqa: PLR0913  what a person may say of a model
        self,
        path: Path,
        name: str | None = None,
        *,
        allow_pickle: bool,
        version_of: str | None = None,
        licence: str | None = None,
        source: str | None = None,
        description: str = "",
        origin: str = "upload",
    ) -> Artefact:
        """Store a PyTorch checkpoint as a new model, or as a version of one; it isn't opened.

        Raises NotAllowedError unless pickles are allowed.
        """
        refuse_pickle(path, allowed=allow_pickle)
        words = Words(licence, source, description, origin)
        if version_of:
            model = self.model(version_of).name
            return self.artefact(self._adding.checkpoint(path, words, version_of=model))
        name = check_name(name) if name else name_from(path.stem)
        self.refuse_taken(name)
        return self.artefact(self._adding.checkpoint(path, words, name=name))

    def add_artefact(
        self,
        beside: Artefact,
        made: ModelSpec,
        *,
        made_from_id: int | None,
        origin: str,
        parity: dict[str, Any] | None = None,
    ) -> Artefact:
        """Move what a conversion made into the version of another artefact.

        The same content in the same version is stored once: the artefact that is there is
        returned. Raises UnknownError if the version is gone.
        """
        made_id = self._adding.made(
            beside, made, made_from_id=made_from_id, origin=origin, parity=parity
        )
        return self.artefact(made_id)

    def rename(self, name: str, new: str) -> None:
        """Give a model another name; raises InUseError, NameTakenError, ModelFileError."""
        self._set_up.once()
        self._changes.rename(name, new)

    def describe(self, name: str, text: str) -> None:
        """Say what a model is for."""
        self._set_up.once()
        self._changes.describe(name, text)

    def remove(self, name: str) -> None:
        """Delete a model; raises InUseError, UnknownModelError, NotPossibleError."""
        self._set_up.once()
        try:
            self._removal.model(name)
        except UnknownModelError:
            left = [file.parent for file in old_layout(self.folder) if file.stem == name]
            if not left:
                raise
            shutil.rmtree(left[0])

    def remove_version(self, name: str, number: int) -> None:
        """Delete a version that doesn't serve; raises InUseError, UnknownError."""
        self._set_up.once()
        self._removal.version(name, number)

    def remove_artefact(self, artefact_id: int) -> None:
        """Delete an artefact that doesn't serve; raises InUseError, UnknownError."""
        self._set_up.once()
        self._removal.artefact(artefact_id)

    @contextmanager
    def hold(self, specs: Iterable[ModelSpec]) -> Iterator[None]:
        """Keep files from being removed, by any process, for the length of a block.

        Raises ModelFileError if one is gone. It ends with this process, however that ends.
        """
        with ExitStack() as held:
            for spec in specs:
                if self.folder in spec.path.parents:
                    try:
                        held.enter_context(in_use(spec.path))
                    except FileNotFoundError as error:
                        raise ModelFileError(
                            f"The file of {spec.name} is gone: {spec.path}."
                        ) from error
            yield

    def know(self, path: Path, spec: ModelSpec) -> None:
        """Take over what another process found a file to be, so that adding it opens nothing."""
        self._records.recognised.know(path, spec)

    def incoming(self) -> AbstractContextManager[Path]:
        """Give a folder to write uploads in: a file there is moved, not copied, when added."""
        return self._records.files.incoming()

    def scan(self, folder: Path | None = None) -> ScanReport:
        """Add the ONNX files of a folder; without one, mend the store's own.

        That brings back what the database lost, deletes what belongs to nothing, and names what
        is missing or damaged.
        """
        self._set_up.once()
        scan = self._set_up.scan()
        return scan.store() if folder is None else scan.folder(folder)

    def refuse_taken(self, name: str) -> None:
        """Raise NameTakenError for a name that is taken; names that differ in case alone clash."""
        refuse_reserved(name)
        self._set_up.once()
        with self._database.reading() as session:
            asked = select(ModelRow.name).where(ModelRow.folded == name.casefold())
            there = session.scalar(asked)
        if there is not None:
            raise taken(there)

    def _unknown(self, name: str) -> ModelFileError:
        beside = RESERVED.difference(one.name for one in self._lookup.lacking())
        names = dict.fromkeys([*(spec.name for spec in self.list()), *sorted(beside)])
        known = ", ".join(names)
        message = f"There is no model {name[:80]!r} here that can run; there are {known or 'none'}."
        if any(entry.name == name for entry in CATALOGUE):
            return ModelFileError(f"{message} Fetch it with: sightline models pull {name}")
        return ModelFileError(
            f"{message} Your own file is added with: sightline models add FILE.onnx"
        )


def refuse_pickle(path: Path, *, allowed: bool) -> None:
    """Raise NotAllowedError for a checkpoint unless pickles are allowed."""
    if not allowed:
        raise NotAllowedError(
            f"{path.name} is a PyTorch checkpoint, which can run programs when it is opened. "
            "Export it to ONNX where it was trained, or set SIGHTLINE_ALLOW_PICKLE=true."
        )


def _runnable(artefact: Artefact) -> ModelSpec:
    assert artefact.spec is not None  # noqa: S101  only checkpoints have none
    return artefact.spec


def _version(model: Model, artefact: Artefact) -> Version:
    return next(version for version in model.versions if version.number == artefact.version)


def _is_path(text: str) -> bool:
    return os.sep in text or "/" in text or format_of(Path(text)) is not None
