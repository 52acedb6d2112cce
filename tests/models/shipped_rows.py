"""The rows of what ships, as a store has them now and as the release before left them."""

from __future__ import annotations

from sightline_backend.store.records import Artefact
from sightline_backend.store.store import Store
from sightline_backend.store.tables import ArtefactRow
from sightline_engines.assets import SHIPPED_FILES, SHIPPED_NAME
from tests.models.stored import pair

INT8_NAME = SHIPPED_FILES["int8"]
BOTH = ["fp32", "int8"]


def shipped(store: Store) -> list[Artefact]:
    """Return the artefacts that the package brought, in the order of their rows."""
    versions = store.models.model(SHIPPED_NAME).versions
    return [one for version in versions for one in version.artefacts if one.origin == "shipped"]


def precisions(store: Store) -> list[str]:
    return [one.precision for one in shipped(store)]


def of_the_release_before(store: Store, sha256: str | None = None) -> Artefact:
    """Leave a database as it was with one shipped file; its weights were others if a hash is given.

    Something was converted from it. Returns that; the store is as it was until another is opened.
    """
    source, int8 = shipped(store)
    assert source.spec is not None
    made = store.models.add_artefact(
        source,
        pair(store.folder.parent / "job", source.spec),
        made_from_id=source.id,
        origin="job 7",
    )
    with store.database.session() as session:
        session.delete(session.get(ArtefactRow, int8.id))
        row = session.get(ArtefactRow, source.id)
        assert row is not None
        row.sha256 = sha256 or row.sha256
    return made
