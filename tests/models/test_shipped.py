"""The two files that ship: one model of two artefacts, whatever database there was before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sightline_backend.errors import (
    InUseError,
    NameTakenError,
    NotPossibleError,
    UnknownModelError,
)
from sightline_backend.serving.history import stands
from sightline_backend.store.store import Store, open_store
from sightline_backend.store.tables import ModelRow
from sightline_backend.triton.artefacts import artefact_of
from sightline_engines.assets import SHIPPED_NAME, shipped_model
from sightline_engines.errors import ModelFileError
from sightline_engines.types import Format
from tests.models.shipped_rows import BOTH, INT8_NAME, of_the_release_before, precisions, shipped
from tests.models.stored import pair


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
