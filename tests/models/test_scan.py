"""What a scan mends: lost rows, lost files, leftovers, folders of other programs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sightline_backend.store.records import ScanReport
from sightline_backend.store.store import Store, open_store
from sightline_engines.assets import SHIPPED_NAME, shipped_model
from sightline_engines.errors import ModelFileError
from sightline_engines.sidecar import sidecar_path


def test_a_store_that_is_in_order_stays_as_it_is(store: Store, my_model: Path) -> None:
    assert store.models.scan() == ScanReport()
    store.models.add(my_model, "mine")
    before = sorted(store.folder.glob("files/*/*"))
    assert store.models.scan() == ScanReport()
    assert sorted(store.folder.glob("files/*/*")) == before


def test_a_lost_database_is_made_again_with_all_that_was_converted(
    lite: Store, my_model: Path, tmp_path: Path
) -> None:
    spec = lite.models.add(my_model, "mine", licence="MIT")
    source = lite.models.model("mine").versions[0].artefacts[0]
    (tmp_path / "model.xml").write_bytes(b"<net/>")
    (tmp_path / "model.bin").write_bytes(b"weights")
    made = replace(spec, path=tmp_path / "model.xml", precision="int8")
    lite.models.add_artefact(
        source, made, made_from_id=source.id, origin="job 7", parity={"agreeing": 1.0}
    )
    lite.models.rename("mine", "yours")
    lite.close()
    for file in lite.folder.glob("sightline.db*"):
        file.unlink()
    again = open_store(lite.folder)
    onnx, pair = again.models.model("yours").versions[0].artefacts
    assert (onnx.format, pair.format, pair.precision) == ("onnx", "openvino", "int8")
    assert (pair.made_from_id, pair.origin, pair.parity) == (onnx.id, "job 7", {"agreeing": 1.0})
    assert again.models.find("yours").licence == "MIT"
    again.close()


def test_files_that_nothing_names_are_deleted_and_lost_ones_named(
    store: Store, my_model: Path
) -> None:
    spec = store.models.add(my_model, "mine")
    orphan = store.folder / "files" / "ab" / f"{'ab' * 32}.onnx"
    orphan.parent.mkdir()
    orphan.write_bytes(b"left by a crash")
    (store.folder / "files" / "note.txt").write_text("a person's own file stays")
    spec.path.unlink()
    report = store.models.scan()
    assert report.orphaned == (orphan.name,)
    assert len(report.missing) == 1
    assert report.missing[0].startswith("mine:1 onnx")
    assert (store.folder / "files" / "note.txt").exists()


def test_a_damaged_file_is_named(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "mine").path.write_bytes(b"damaged")
    (broken,) = store.models.scan().broken
    assert broken.name == "mine:1"


def test_another_folder_is_read_and_left_as_it_is(lite: Store, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(shipped_model(), folder / "one.onnx")
    shutil.copy(shipped_model(), folder / "deep" / "my model.onnx")
    sidecar_path(folder / "one.onnx").write_text('{"labels": ["cat", "dog"]}')
    (folder / "text.onnx").write_bytes(b"no model")
    report = lite.models.scan(folder)
    assert sorted(report.added) == ["my-model", "one"]
    assert [Path(broken.name).name for broken in report.broken] == ["text.onnx"]
    assert lite.models.find("one").labels == ("cat", "dog")
    assert lite.models.scan(folder).added == ()
    assert len(list(folder.rglob("*.onnx"))) == 3
    with pytest.raises(ModelFileError, match="no folder"):
        lite.models.scan(folder / "one.onnx")


def test_what_an_older_release_kept_is_taken_over_once(lite: Store, my_model: Path) -> None:
    for name in ("good", "bad", "odd name", SHIPPED_NAME):
        (lite.folder / name).mkdir(parents=True)
        shutil.copy(my_model, lite.folder / name / f"{name}.onnx")
    (lite.folder / "bad" / "bad.onnx").write_bytes(b"damaged")
    names = [spec.name for spec in lite.models.list()]
    assert names == [SHIPPED_NAME, "good", "odd-name"]
    assert {broken.name for broken in lite.models.broken()} == {"bad", SHIPPED_NAME}
    lite.models.remove("bad")
    assert not (lite.folder / "bad").exists()
