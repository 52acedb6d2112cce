"""The database: its tables, its versions, and what is said when it can't be used."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from sightline_backend.errors import StoreError
from sightline_backend.store import migrations
from sightline_backend.store.store import Store, open_store
from sightline_backend.store.tables import Base, ModelRow
from sightline_engines.assets import SHIPPED_NAME, shipped_model
from sightline_engines.errors import ModelFileError


def test_the_migrations_lead_to_the_tables_as_they_are_written(store: Store) -> None:
    with store.database.open().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_every_migration_is_known_by_name() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == migrations.REVISIONS


def test_a_database_of_a_newer_program_is_left_alone(
    store: Store, tmp_path: Path, database_url: str | None
) -> None:
    store.models.models()
    with store.database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with closing(open_store(tmp_path / "models", database_url)) as newer:
        with pytest.raises(StoreError, match=r"made by a newer Sightline \(revision 9999"):
            newer.models.models()
        assert [spec.name for spec in newer.models.list()] == [SHIPPED_NAME]


def test_those_who_open_it_at_the_same_time_make_it_once(
    tmp_path: Path, database_url: str | None
) -> None:
    def names(_: int) -> list[str]:
        with closing(open_store(tmp_path / "models", database_url)) as one:
            return [model.name for model in one.models.models()]

    with ThreadPoolExecutor(4) as several:
        assert list(several.map(names, range(4))) == [[SHIPPED_NAME]] * 4


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def half() -> None:
        with store.database.session() as session:
            session.add(ModelRow(name="half", folded="half"))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert [model.name for model in store.models.models()] == [SHIPPED_NAME]


def test_a_damaged_file_is_named_and_rebuilt_from_what_lies_beside_the_models(
    lite: Store, my_model: Path, tmp_path: Path
) -> None:
    lite.models.add(my_model, "mine", licence="MIT", description="for the yard")
    lite.models.add_version("mine", my_model, source="second")
    before = lite.models.model("mine")
    lite.close()
    file = lite.folder / "sightline.db"
    for beside in lite.folder.glob("sightline.db-*"):
        beside.unlink()
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=r"sightline\.db is damaged .*`sightline models scan`"):
        lite.models.model("mine")
    assert [spec.name for spec in lite.models.list()] == [SHIPPED_NAME]
    assert "is damaged" in lite.models.broken()[0].problem
    with pytest.raises(StoreError):
        lite.models.find("mine")
    file.unlink()
    lite.close()
    with closing(open_store(lite.folder)) as mended:
        mended.models.scan()
        after = mended.models.model("mine")
    assert [(v.number, v.licence, v.source) for v in after.versions] == [
        (v.number, v.licence, v.source) for v in before.versions
    ]
    assert after.description == "for the yard"
    assert [a.spec for v in after.versions for a in v.artefacts] == [
        a.spec for v in before.versions for a in v.artefacts
    ]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "no address of a database"),
        ("mysql://user:secret@host/db", "no address of a database"),
        ("postgresql://user:secret@127.0.0.1:1/db", "Does it run"),
    ],
)
def test_a_database_that_is_out_of_reach_is_named_without_its_password(
    tmp_path: Path, url: str, said: str
) -> None:
    with closing(open_store(tmp_path, url)) as store:
        with pytest.raises(StoreError, match=said) as caught:
            store.models.models()
        assert "secret" not in caught.value.message
        assert [spec.name for spec in store.models.list()] == [SHIPPED_NAME]


def test_a_folder_that_cannot_be_made_stops_writes_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with closing(open_store(tmp_path / "file" / "models")) as store:
        assert [spec.name for spec in store.models.list()] == [SHIPPED_NAME]
        with pytest.raises(StoreError, match="SIGHTLINE_MODELS_DIR"):
            store.models.add(shipped_model(), "mine")


_READ_ONLY = """
import os, sys
from pathlib import Path
from sqlalchemy import create_engine
from sightline_backend.errors import StoreError
from sightline_backend.store.store import open_store
create_engine("sqlite://")
if os.geteuid() == 0:
    os.setuid(65534)  # nobody: root may write anywhere
store = open_store(Path(sys.argv[1]))
print(*(spec.name for spec in store.models.list()), *store.models.broken())
with store.models.hold(store.models.list()):
    print(store.models.find("mine").name if sys.argv[2:] else "-")
for write in (lambda: store.models.add(Path(sys.argv[1]) / "new.onnx", "new"),
              lambda: store.models.describe("sightline-webcam", "x")):
    try:
        write()
    except StoreError as error:
        print(error.message)
store.close()
"""


@pytest.mark.parametrize("filled", [False, True])
def test_a_folder_that_cannot_be_written_is_read(open_folder: Path, filled: bool) -> None:
    if filled:
        with closing(open_store(open_folder)) as store:
            store.models.add(shipped_model(), "mine")
    (open_folder / "new.onnx").write_bytes(shipped_model().read_bytes())
    for path in (open_folder, *open_folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    command = [sys.executable, "-c", _READ_ONLY, str(open_folder), *(["filled"] if filled else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    for path in (open_folder, *open_folder.rglob("*")):
        path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    listed, found, *refused = done.stdout.strip().split("\n")
    if filled:
        assert (listed, found) == (f"{SHIPPED_NAME} mine", "mine")
    else:
        assert listed.startswith(f"{SHIPPED_NAME} BrokenModel")
    assert len(refused) == 2
    assert all("SIGHTLINE_MODELS_DIR" in said for said in refused)


def test_an_unknown_model_in_a_store_that_is_broken_is_the_stores_fault(tmp_path: Path) -> None:
    (tmp_path / "sightline.db").write_bytes(b"no database" * 1000)
    with closing(open_store(tmp_path)) as store, pytest.raises((StoreError, ModelFileError)):
        store.models.find("mine")
