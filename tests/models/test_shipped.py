"""The two files that ship: one model of two artefacts, whatever database there was before."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from sightline_backend.errors import (
    InUseError,
    NameTakenError,
    NotPossibleError,
    UnknownModelError,
)
from sightline_backend.serving.history import stands
from sightline_backend.store.files import digest
from sightline_backend.store.records import Artefact
from sightline_backend.store.store import Store, open_store
from sightline_backend.store.tables import ArtefactRow, ModelRow
from sightline_backend.triton.artefacts import artefact_of
from sightline_engines import assets
from sightline_engines.assets import SHIPPED_FILES, SHIPPED_NAME, shipped_model
from sightline_engines.errors import ModelFileError
from sightline_engines.sidecar import sidecar_path
from sightline_engines.types import Format
from tests.models.stored import pair
from tests.models.test_store_races import together

INT8_NAME = SHIPPED_FILES["int8"]
BOTH = ["fp32", "int8"]


def shipped(store: Store) -> list[Artefact]:
    """Return the artefacts that the package brought, in the order of their rows."""
    versions = store.models.model(SHIPPED_NAME).versions
    return [one for version in versions for one in version.artefacts if one.origin == "shipped"]


@pytest.fixture
def restarted(tmp_path: Path, database_url: str | None) -> Iterator[Callable[[], Store]]:
    """Return what opens the same store as the next process would."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(closing(open_store(tmp_path / "models", database_url)))


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


def test_fp32_comes_first_and_serves_with_int8_beside_it(store: Store) -> None:
    (version,) = store.models.model(SHIPPED_NAME).versions
    fp32, int8 = version.artefacts
    assert [fp32.precision, int8.precision] == BOTH
    assert (fp32.path, int8.path) == (shipped_model("fp32"), shipped_model("int8"))
    assert {fp32.origin, int8.origin} == {"shipped"}
    for one in (fp32, int8):
        assert one.spec is not None
        assert (one.spec.name, one.spec.version, one.spec.precision) == (
            (SHIPPED_NAME, "1", one.precision)
        )  # fmt: skip
        assert (one.spec.sha256, one.size_bytes) == (one.sha256, one.path.stat().st_size)
        assert store.models.artefact(one.id) == one
    assert store.models.model(SHIPPED_NAME).active == fp32
    assert [spec.name for spec in store.models.list()] == [SHIPPED_NAME]


def test_int8_is_promoted_measured_and_rolled_back_like_any_other(
    store: Store, restarted: Callable[[], Store]
) -> None:
    fp32, int8 = shipped(store)
    store.measurements.add(int8.id, "openvino", {"p50": 1.5})
    store.promotions.add(SHIPPED_NAME, int8.id, engine="openvino")
    store = restarted()
    found = store.models.find(SHIPPED_NAME)
    assert (found.name, found.path, found.engine) == (SHIPPED_NAME, int8.path, "openvino")
    assert len(store.measurements.of(int8.id)) == 1
    model = store.models.model(SHIPPED_NAME)
    assert [one.artefact.id for one in stands(store, model)] == [int8.id, fp32.id]
    assert artefact_of(model, None) == int8
    store.promotions.roll_back(SHIPPED_NAME)
    assert store.models.find(SHIPPED_NAME) == fp32.spec


def test_neither_file_can_be_removed(store: Store) -> None:
    fp32, int8 = shipped(store)
    with pytest.raises(NotPossibleError, match="ships with Sightline and stays"):
        store.models.remove_artefact(int8.id)
    store.promotions.add(SHIPPED_NAME, int8.id)
    with pytest.raises(InUseError, match="serves"):
        store.models.remove_artefact(int8.id)
    with pytest.raises(NotPossibleError):
        store.models.remove_artefact(fp32.id)
    with pytest.raises((InUseError, NotPossibleError)):
        store.models.remove_version(SHIPPED_NAME, 1)
    with pytest.raises(NotPossibleError):
        store.models.remove(SHIPPED_NAME)
    store.models.scan()
    assert precisions(store) == BOTH


def test_triton_gets_fp32_where_what_serves_is_not_for_it(store: Store) -> None:
    fp32, _ = shipped(store)
    assert fp32.spec is not None
    made = store.models.add_artefact(
        fp32, pair(store.folder.parent / "job", fp32.spec), made_from_id=fp32.id, origin="job 7"
    )
    store.promotions.add(SHIPPED_NAME, made.id)
    assert artefact_of(store.models.model(SHIPPED_NAME), None) == fp32


def test_int8_is_found_by_a_name_of_its_own_without_a_folder(lite: Store) -> None:
    found = lite.models.find(INT8_NAME)
    assert (found.name, found.path, found.version) == (INT8_NAME, shipped_model("int8"), "1")
    assert found.precision == "int8"
    assert not lite.folder.exists()


@pytest.mark.parametrize("name", ["no-such", f"{SHIPPED_NAME}-fp16"])
def test_an_unknown_name_is_answered_with_both(lite: Store, name: str) -> None:
    with pytest.raises(ModelFileError, match=f"there are {SHIPPED_NAME}, {INT8_NAME}\\."):
        lite.models.find(name)


@pytest.mark.parametrize("name", [INT8_NAME, INT8_NAME.upper()])
def test_where_a_whole_model_is_meant_the_name_of_the_file_is_explained(
    lite: Store, name: str
) -> None:
    with pytest.raises(UnknownModelError, match=f"is a file of {SHIPPED_NAME}, .* number"):
        lite.models.model(name)


def test_nothing_new_gets_the_name_of_a_file_that_ships(lite: Store, my_model: Path) -> None:
    lite.models.add(my_model, "mine")
    left = lite.folder / INT8_NAME / f"{INT8_NAME}.onnx"
    left.parent.mkdir()
    left.write_bytes(my_model.read_bytes())
    for name in (INT8_NAME, INT8_NAME.upper()):
        with pytest.raises(NameTakenError, match="ships with Sightline"):
            lite.models.add(my_model, name)
        with pytest.raises(NameTakenError, match="ships with Sightline"):
            lite.models.rename("mine", name)
    assert lite.models.scan().added == ()
    assert [spec.name for spec in lite.models.list()] == [SHIPPED_NAME, "mine"]
    (refused,) = lite.models.broken()
    assert refused.name == INT8_NAME
    assert f"sightline models add {left} --name" in refused.problem
    lite.models.remove(INT8_NAME)
    assert lite.models.broken() == []


def test_a_model_that_somebody_called_so_before_keeps_its_name(lite: Store, my_model: Path) -> None:
    added = lite.models.add(my_model, "mine")
    with lite.database.session() as session:
        session.query(ModelRow).filter_by(name="mine").update(
            {"name": INT8_NAME, "folded": INT8_NAME}
        )
    assert lite.models.find(INT8_NAME).path == added.path
    assert lite.models.model(INT8_NAME).active is not None
    lite.models.remove(INT8_NAME)
    assert lite.models.find(INT8_NAME).path == shipped_model("int8")


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


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user of this machine may enter."""
    with tempfile.TemporaryDirectory(prefix="sightline-shipped-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


_READ_ONLY = """
import os, sys
from pathlib import Path
from sqlalchemy import create_engine
from sightline_backend.store.store import open_store
create_engine("sqlite://")
if os.geteuid() == 0:
    os.setuid(65534)  # nobody: root may write anywhere
store = open_store(Path(sys.argv[1]))
print(*(f"{spec.name} {spec.precision}" for spec in store.models.list()), store.models.broken())
print(*(one.precision for one in store.models.models()[0].versions[0].artefacts))
print(store.models.find("sightline-webcam-int8").precision)
store.close()
"""


@pytest.mark.parametrize("before", [False, True])
def test_a_database_that_cannot_be_written_is_read_as_it_is(
    open_folder: Path, before: bool
) -> None:
    folder = open_folder / "models"
    with closing(open_store(folder)) as store:
        assert precisions(store) == BOTH
        if before:
            of_the_release_before(store, "0" * 64)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    done = subprocess.run(
        [sys.executable, "-c", _READ_ONLY, str(folder)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    listed, stored, named = done.stdout.strip().split("\n")
    assert listed == f"{SHIPPED_NAME} fp32 []"
    assert (stored, named) == ("fp32 int8", "int8")


def test_a_file_that_is_shipped_is_no_file_of_the_store(lite: Store) -> None:
    int8 = shipped(lite)[1]
    assert int8.format is Format.ONNX
    report = lite.models.scan()
    assert (report.missing, report.broken, report.orphaned) == ((), (), ())
    assert not list(lite.folder.glob("files/*/*"))
