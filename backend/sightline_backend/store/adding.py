"""New models, versions and artefacts: what they are made of, and where their rows belong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from sightline_backend.errors import UnknownError
from sightline_backend.models.recognised import RecognisedFiles
from sightline_backend.store.files import digest
from sightline_backend.store.intake import Incoming, Intake
from sightline_backend.store.records import Artefact
from sightline_backend.store.rows import find_artefact, find_model
from sightline_backend.store.specs import spec_fields
from sightline_backend.store.tables import ArtefactRow, ModelRow, VersionRow
from sightline_backend.store.texts import (
    DESCRIPTION_LENGTH,
    LICENCE_LENGTH,
    SOURCE_LENGTH,
    checked,
    clean,
)
from sightline_engines.errors import ModelFileError
from sightline_engines.types import Format, ModelSpec, format_of


@dataclass(frozen=True, slots=True)
class Words:
    """What a person says about what they add; None: what the file says."""

    licence: str | None = None
    source: str | None = None
    description: str = ""
    origin: str = "upload"

    def __post_init__(self) -> None:
        """Refuse what is too long."""
        checked("licence", self.licence or "", LICENCE_LENGTH)
        checked("source", self.source or "", SOURCE_LENGTH)
        checked("description", self.description, DESCRIPTION_LENGTH)


@dataclass(frozen=True, slots=True, eq=False)
class Adding:
    """Puts files in and says which rows they get; each call returns the artefact's id."""

    intake: Intake
    recognised: RecognisedFiles

    def file(self, path: Path, words: Words, *, name: str = "", version_of: str = "") -> int:
        """Add an ONNX file as a new model, or as a new version of one.

        Raises ModelFileError for a file that isn't supported.
        """
        spec = self.recognise(path)
        new = Incoming(
            path=path,
            sha256=spec.sha256,
            format=Format.ONNX,
            precision=spec.precision,
            spec=spec_fields(spec),
            origin=words.origin,
        )
        version = _version(words, spec.licence, spec.source or path.name)
        return self._placed(new, version, words, name, version_of)

    def recognise(self, path: Path) -> ModelSpec:
        """Return what an ONNX file is, before anything is stored; raises ModelFileError."""
        if format_of(path) in (Format.TENSORRT, Format.OPENVINO):
            raise ModelFileError(
                f"{path.name} was made for one runtime or machine, and is not taken from "
                "elsewhere. Add the ONNX file that it was made from, and convert it here."
            )
        return self.recognised.spec(path)

    def checkpoint(self, path: Path, words: Words, *, name: str = "", version_of: str = "") -> int:
        """Add a PyTorch checkpoint, which is kept and not opened."""
        if format_of(path) is not Format.TORCH:
            raise ModelFileError(f"{path.name} is no checkpoint: its name must end in .pt or .pth.")
        try:
            sha256 = digest(path)
        except OSError as error:
            raise ModelFileError(f"{path} can't be read: {error.strerror or error}.") from error
        if path.stat().st_size == 0:
            raise ModelFileError(f"{path.name} is empty; is the download complete?")
        new = Incoming(path, sha256, Format.TORCH, "fp32", {}, words.origin)
        return self._placed(new, _version(words, "unknown", path.name), words, name, version_of)

    def made(
        self,
        beside: Artefact,
        spec: ModelSpec,
        *,
        made_from_id: int | None,
        origin: str,
        parity: dict[str, Any] | None,
    ) -> int:
        """Move a file that was made here beside the artefact that it was made from."""
        new = Incoming(
            path=spec.path,
            sha256=digest(spec.path),
            format=spec.format,
            precision=spec.precision,
            spec=spec_fields(spec),
            origin=origin,
            made_from_id=made_from_id,
            passport=spec.passport.to_dict() if spec.passport else None,
            parity=parity,
            move=True,
        )

        def rows(session: Session, row: ArtefactRow) -> int:
            version = find_artefact(session, beside.id).version
            if made_from_id is not None and session.get(ArtefactRow, made_from_id) is None:
                raise UnknownError(f"Artefact {made_from_id} was removed in the meantime.")
            for there in version.artefacts:
                if (there.sha256, there.format) == (row.sha256, row.format):
                    _made_again(there, row)
                    return there.id
            version.artefacts.append(row)
            session.flush()
            return row.id

        return self.intake.add(new, rows)

    def _placed(
        self, new: Incoming, version: VersionRow, words: Words, name: str, version_of: str
    ) -> int:
        def rows(session: Session, row: ArtefactRow) -> int:
            if version_of:
                model = find_model(session, version_of)
                version.number = max((v.number for v in model.versions), default=0) + 1
            else:
                model = ModelRow(name=name, folded=name.casefold())
                model.description = clean(words.description, DESCRIPTION_LENGTH)
                session.add(model)
                version.number = 1
            model.versions.append(version)
            version.artefacts.append(row)
            session.flush()
            return row.id

        return self.intake.add(new, rows)


def _made_again(there: ArtefactRow, made: ArtefactRow) -> None:
    """Keep what the newest conversion says of a file: a driver may be new, the bytes the same."""
    there.passport = made.passport or there.passport
    there.parity = made.parity or there.parity
    if there.origin.startswith("job "):  # and not what was uploaded or ships
        there.origin = made.origin


def _version(words: Words, licence: str, source: str) -> VersionRow:
    return VersionRow(
        licence=clean(words.licence or licence, LICENCE_LENGTH),
        source=clean(words.source or source, SOURCE_LENGTH),
    )
