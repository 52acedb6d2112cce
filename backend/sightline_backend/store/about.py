"""What lies beside each file and says what it is: from it, a lost database is made again."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from sightline_backend.models.names import check_name
from sightline_backend.store.database import Database
from sightline_backend.store.files import Files, write_whole
from sightline_backend.store.locks import locked
from sightline_backend.store.rows import rows_of
from sightline_backend.store.tables import ArtefactRow, ModelRow, VersionRow, now
from sightline_engines.passport import Passport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class About:
    """One artefact of a file, as it was when it was last changed."""

    model: str
    version: int
    fields: dict[str, Any]

    @property
    def made_from(self) -> str:
        """Return the hash of what it was made from, "" for nothing."""
        return str(self.fields.get("made_from") or "")


def write_about(database: Database, files: Files, hashes: Iterable[str]) -> None:
    """Say beside each file what it is now; one that is nothing any more loses its word.

    The database holds it already: a disk that takes no word is logged, and `scan` writes it later.
    """
    for sha256 in sorted(set(hashes)):
        try:
            with locked(files.folder):  # who reads last writes last
                _write(database, files, sha256)
        except OSError as error:
            said = error.strerror or error
            log.warning("no word was left beside %s: %s", files.about_path(sha256), said)


def _write(database: Database, files: Files, sha256: str) -> None:
    with database.reading() as session:
        entries = [_entry(session, row) for row in rows_of(session, sha256)]
    path = files.about_path(sha256)
    if entries:
        write_whole(path, json.dumps(entries, indent=1) + "\n")
    else:
        path.unlink(missing_ok=True)


def read_about(files: Files, sha256: str) -> Sequence[About]:
    """Return what was said beside a file; nothing if it can't be read."""
    try:
        entries = json.loads(files.about_path(sha256).read_text(encoding="utf-8"))
        return [About(str(e["model"]), int(e["version"]), e) for e in entries]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []


def restore(session: Session, sha256: str, about: About) -> bool:
    """Make the rows that an entry speaks of; False if they are there, or it makes no sense."""
    model = session.scalar(select(ModelRow).where(ModelRow.folded == about.model.casefold()))
    if model is None:
        check_name(about.model)
        text = str(about.fields.get("description", ""))
        model = ModelRow(name=about.model, folded=about.model.casefold(), description=text)
        session.add(model)
    version = next((v for v in model.versions if v.number == about.version), None)
    if version is None:
        version = VersionRow(number=about.version)
        version.licence = str(about.fields.get("licence", "unknown"))
        version.source = str(about.fields.get("source", ""))
        model.versions.append(version)
    if any(artefact.sha256 == sha256 for artefact in version.artefacts):
        return False
    version.artefacts.append(_row(sha256, about.fields))
    session.flush()
    return True


def link(session: Session, sha256: str, about: About) -> None:
    """Have a restored artefact know again what it was made from."""
    version = session.scalar(
        select(VersionRow)
        .join(ModelRow, ModelRow.id == VersionRow.model_id)
        .where(ModelRow.folded == about.model.casefold(), VersionRow.number == about.version)
    )
    by_hash = {row.sha256: row for row in version.artefacts} if version else {}
    made, source = by_hash.get(sha256), by_hash.get(about.made_from)
    if made is not None and source is not None and made.made_from_id is None:
        made.made_from_id = source.id


def _entry(session: Session, row: tuple[ArtefactRow, VersionRow, ModelRow]) -> dict[str, Any]:
    artefact, version, model = row
    source = session.get(ArtefactRow, artefact.made_from_id) if artefact.made_from_id else None
    return {
        "model": model.name,
        "description": model.description,
        "version": version.number,
        "licence": version.licence,
        "source": version.source,
        "format": artefact.format,
        "precision": artefact.precision,
        "size_bytes": artefact.size_bytes,
        "spec": artefact.spec,
        "made_from": source.sha256 if source else None,
        "origin": artefact.origin,
        "passport": artefact.passport,
        "parity": artefact.parity,
        "created_at": artefact.created_at.isoformat(),
    }


def _row(sha256: str, fields: dict[str, Any]) -> ArtefactRow:
    created = now()
    with suppress(KeyError, TypeError, ValueError):
        created = datetime.fromisoformat(fields["created_at"]).astimezone(UTC)
    if fields.get("passport"):
        Passport.from_dict(fields["passport"])  # it must be one
    return ArtefactRow(
        format=fields["format"],
        precision=fields["precision"],
        sha256=sha256,
        size_bytes=fields["size_bytes"],
        spec=fields["spec"],
        origin=fields["origin"],
        passport=fields.get("passport"),
        parity=fields.get("parity"),
        created_at=created,
    )
