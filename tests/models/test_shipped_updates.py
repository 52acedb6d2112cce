"""What ships, after an update: taken over, replaced or lacking, and nothing made is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sightline_backend.serving.history import stands
from sightline_backend.store.files import digest
from sightline_backend.store.store import Store, open_store
from sightline_backend.store.tables import ArtefactRow
from sightline_engines import assets
from sightline_engines.assets import SHIPPED_NAME, shipped_model
from sightline_engines.errors import ModelFileError
from sightline_engines.sidecar import sidecar_path
from tests.models.shipped_rows import BOTH, INT8_NAME, of_the_release_before, precisions, shipped
from tests.models.stored import pair
from tests.models.test_store_races import together


@pytest.mark.parametrize("promoted", ["nothing", "shipped", "made"])
def test_int8_joins_a_file_that_is_the_same_as_before(
    store: Store, restarted: Callable[[], Store], promoted: str
) -> None:
    source = shipped(store)[0]
    made = of_the_release_before(store)
    serves = {"nothing": source.id, "shipped": source.id, "made": made.id}[promoted]
    if promoted != "nothing":
        store.promotions.add(SHIPPED_NAME, serves, engine="openvino")
    store.measurements.add(source.id, "openvino", {"p50": 1.5})
    store = restarted()
    model = store.models.model(SHIPPED_NAME)
    (version,) = model.versions
    assert [(one.precision, one.origin) for one in version.artefacts] == [
        ("fp32", "shipped"), ("int8", "job 7"), ("int8", "shipped"),
    ]  # fmt: skip
    assert version.artefacts[0].id == source.id
    assert version.artefacts[1].made_from_id == source.id
    assert model.active is not None
    assert (model.active.id, len(store.measurements.of(source.id))) == (serves, 1)
    assert model.active_engine == ("" if promoted == "nothing" else "openvino")
    assert stands(store, model)[-1].artefact.id == source.id


@pytest.mark.parametrize("promoted", ["nothing", "shipped", "made"])
def test_other_weights_are_a_new_version_of_two_files(
    store: Store, restarted: Callable[[], Store], promoted: str
) -> None:
    source = shipped(store)[0]
    made = of_the_release_before(store, "0" * 64)
    if promoted != "nothing":
        store.promotions.add(SHIPPED_NAME, made.id if promoted == "made" else source.id)
    store = restarted()
    model = store.models.model(SHIPPED_NAME)
    old, new = model.versions
    assert [one.id for one in old.artefacts] == [made.id]
    assert (new.number, [one.precision for one in new.artefacts]) == (2, BOTH)
    hashes = [digest(shipped_model(precision)) for precision in BOTH]
    assert [one.sha256 for one in new.artefacts] == hashes
    assert store.models.find(INT8_NAME).version == "2"
    assert model.active is not None
    assert model.active.id == (made.id if promoted == "made" else new.artefacts[0].id)
    assert stands(store, model)[-1].artefact == new.artefacts[0]


def test_what_nobody_made_anything_of_leaves_no_version_behind(
    store: Store, restarted: Callable[[], Store]
) -> None:
    made = of_the_release_before(store, "0" * 64)
    with store.database.session() as session:
        session.delete(session.get(ArtefactRow, made.id))
    (version,) = restarted().models.model(SHIPPED_NAME).versions
    assert (version.number, [one.precision for one in version.artefacts]) == (2, BOTH)


def test_another_int8_of_the_same_weights_replaces_that_file_alone(
    store: Store, restarted: Callable[[], Store]
) -> None:
    fp32, int8 = shipped(store)
    with store.database.session() as session:
        row = session.get(ArtefactRow, int8.id)
        assert row is not None
        row.sha256 = "0" * 64
    store.promotions.add(SHIPPED_NAME, fp32.id)
    store = restarted()
    again = shipped(store)
    assert [one.precision for one in again] == BOTH
    assert again[0] == fp32
    assert again[1].id != int8.id
    assert again[1].sha256 == int8.sha256
    assert store.promotions.standing(SHIPPED_NAME) is not None


@pytest.mark.parametrize("sha256", [None, "0" * 64])
def test_those_who_start_at_once_take_over_once(
    store: Store, database_url: str | None, sha256: str | None
) -> None:
    of_the_release_before(store, sha256)

    def start(_: int) -> None:
        with closing(open_store(store.folder, database_url)) as one:
            assert precisions(one) == BOTH

    assert together(start, 4) == []
    assert precisions(store) == BOTH
    numbers = [version.number for version in store.models.model(SHIPPED_NAME).versions]
    assert numbers == ([1, 2] if sha256 else [1])


def poorer(folder: Path, content: bytes | None) -> Path:
    """Return what the package's folder is where INT8 lacks or is another file."""
    folder.mkdir()
    for path in (shipped_model(), sidecar_path(shipped_model())):
        shutil.copy(path, folder / path.name)
    if content is not None:
        (folder / shipped_model("int8").name).write_bytes(content)
    return folder


@pytest.mark.parametrize("content", [None, b"no ONNX"])
def test_while_int8_lacks_fp32_serves_and_nothing_is_forgotten(
    store: Store,
    restarted: Callable[[], Store],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    content: bytes | None,
) -> None:
    fp32, int8 = shipped(store)
    store.measurements.add(int8.id, "openvino", {"p50": 1.5})
    store.promotions.add(SHIPPED_NAME, int8.id, engine="openvino")
    with monkeypatch.context() as patched:
        patched.setattr(assets, "ASSETS", poorer(store.folder.parent / "assets", content))
        store = restarted()
        assert precisions(store) == BOTH
        assert store.models.artefact(int8.id).path.name == int8.path.name
        (served,) = store.models.list()
        assert (served.precision, served.version, served.engine) == ("fp32", "1", "")
        (broken,) = store.models.broken()
        assert broken.name == INT8_NAME
        assert int8.path.name in broken.problem
        assert [record.getMessage() for record in caplog.records] == [broken.problem]
        with pytest.raises(ModelFileError, match="can't be used"):
            store.models.find(INT8_NAME)
        with pytest.raises(ModelFileError, match=f"there are {SHIPPED_NAME}\\."):
            store.models.find("no-such")
    store = restarted()
    assert shipped(store) == [fp32, int8]
    assert store.models.find(SHIPPED_NAME).path == int8.path
    assert len(store.measurements.of(int8.id)) == 1
    assert store.models.broken() == []


def test_an_install_without_int8_from_the_start_has_fp32_alone(
    lite: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(assets, "ASSETS", poorer(lite.folder.parent / "assets", None))
        assert precisions(lite) == ["fp32"]
    with closing(open_store(lite.folder)) as whole:
        assert precisions(whole) == BOTH


def test_other_weights_without_int8_end_both_old_files(
    lite: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, artefact in enumerate(shipped(lite)):
        with lite.database.session() as session:
            row = session.get(ArtefactRow, artefact.id)
            assert row is not None
            row.sha256 = str(number) * 64
    monkeypatch.setattr(assets, "ASSETS", poorer(lite.folder.parent / "assets", None))
    with closing(open_store(lite.folder)) as updated:
        (version,) = updated.models.model(SHIPPED_NAME).versions
        assert (version.number, precisions(updated)) == (2, ["fp32"])


@pytest.mark.parametrize("precision", BOTH)
@pytest.mark.parametrize("last", ["shipped", "made"])
def test_an_update_brings_no_older_promotion_back(
    store: Store,
    restarted: Callable[[], Store],
    caplog: pytest.LogCaptureFixture,
    precision: str,
    last: str,
) -> None:
    old = shipped(store)[BOTH.index(precision)]
    source = shipped(store)[0]
    assert source.spec is not None
    made = store.models.add_artefact(
        source, pair(store.folder.parent / "job", source.spec), made_from_id=None, origin="job 7"
    )
    ids = [made.id, old.id] if last == "shipped" else [old.id, made.id]
    for artefact_id in ids:
        store.promotions.add(SHIPPED_NAME, artefact_id, engine="openvino")
    with store.database.session() as session:
        row = session.get(ArtefactRow, old.id)
        assert row is not None
        row.sha256 = "0" * 64
    store = restarted()
    model = store.models.model(SHIPPED_NAME)
    assert model.active is not None
    (older,) = store.promotions.history(SHIPPED_NAME)
    assert older.artefact_id == made.id
    if last == "made":
        assert (model.active.id, older.rolled_back_at, caplog.records) == (made.id, None, [])
        return
    assert older.rolled_back_at is not None
    assert (model.active.origin, model.active.precision) == ("shipped", "fp32")
    assert [one.artefact for one in stands(store, model)] == [model.active]
    assert "until another is promoted" in caplog.text
