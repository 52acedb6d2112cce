"""The store of models, on a real folder and real databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline_backend.errors import (
    InUseError,
    NameTakenError,
    NotPossibleError,
    UnknownModelError,
)
from sightline_backend.models import recognised
from sightline_backend.store.store import Store
from sightline_engines.assets import SHIPPED_FILES, SHIPPED_NAME, shipped_model
from sightline_engines.errors import ModelFileError
from sightline_engines.recognise import recognise
from sightline_engines.sidecar import sidecar_path
from sightline_engines.types import ModelSpec
from tests.models.stored import files, first


def test_a_fresh_store_holds_the_shipped_model_and_makes_no_folder(lite: Store) -> None:
    assert [spec.name for spec in lite.models.list()] == [SHIPPED_NAME]
    assert lite.models.find(SHIPPED_NAME).version == "1"
    assert lite.models.broken() == []
    assert lite.models.summaries() == {}
    assert not lite.folder.exists()


def test_the_shipped_model_has_rows_so_that_it_can_be_measured(store: Store) -> None:
    (model,) = store.models.models()
    assert (model.name, model.shipped, len(model.versions)) == (SHIPPED_NAME, True, 1)
    assert model.active is not None
    assert model.active.path == shipped_model()
    assert store.models.find(SHIPPED_NAME) == model.active.spec
    assert store.models.list() == [model.active.spec]


def test_an_added_model_is_found_by_name_with_its_facts(store: Store, my_model: Path) -> None:
    models = store.models
    added = models.add(my_model, licence="MIT", source="https://example.org/my")
    my_model.unlink()
    found = models.find("my-model")
    assert found == added
    assert (found.name, found.version) == ("my-model", "1")
    assert (found.licence, found.source) == ("MIT", "https://example.org/my")
    assert [spec.name for spec in models.list()] == [SHIPPED_NAME, "my-model"]
    assert files(models) == [f"{found.sha256}.about.json", f"{found.sha256}.onnx"]
    assert first(store, "my-model").size_bytes == found.path.stat().st_size


def test_the_sidecar_beside_a_file_is_taken_over(lite: Store, my_model: Path) -> None:
    sidecar_path(my_model).write_text('{"labels": ["cat", "dog"], "postprocess": {"conf": 0.6}}')
    lite.models.add(my_model, "pets")
    assert lite.models.find("pets").labels == ("cat", "dog")
    assert lite.models.find("pets").postprocess.conf == 0.6


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.onnx", b""),
        ("text.onnx", b"this is no model"),
        ("weights.pt", b"PK\x03\x04"),
        ("model.xml", b"<net/>"),
        ("model.plan", b"plan"),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_stored(
    lite: Store, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelFileError):
        lite.models.add(tmp_path / name)
    assert not lite.folder.exists()


def test_a_missing_file_is_an_error_that_names_it(lite: Store, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gone\.onnx"):
        lite.models.add(tmp_path / "gone.onnx")


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden"])
def test_a_name_that_leaves_the_folder_is_refused(lite: Store, my_model: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match="can't be a model's name"):
        lite.models.add(my_model, name)
    assert not lite.folder.exists()


@pytest.mark.parametrize("field", ["licence", "source", "description"])
def test_a_text_without_end_is_refused(lite: Store, my_model: Path, field: str) -> None:
    with pytest.raises(ModelFileError, match=f"The {field} has 5000 characters"):
        lite.models.add(my_model, **{field: "x" * 5000})


def test_texts_that_no_database_keeps_are_cleaned(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "mine", licence="M\0IT", description="half \ud800 a letter")
    assert store.models.find("mine").licence == "MIT"
    assert store.models.model("mine").description == "half ? a letter"


@pytest.mark.parametrize("name", ["mine", "MINE", SHIPPED_NAME])
def test_a_taken_name_is_refused_and_nothing_is_left_behind(
    lite: Store, my_model: Path, name: str
) -> None:
    store = lite
    store.models.add(my_model, "mine")
    before = files(store.models)
    with pytest.raises(NameTakenError, match="already"):
        store.models.add(my_model, name)
    assert files(store.models) == before
    assert list(store.folder.glob(".incoming-*")) == []


def test_any_onnx_file_is_found_by_its_path(lite: Store, my_model: Path) -> None:
    assert lite.models.find(str(my_model)).path == my_model
    assert not lite.folder.exists()


@pytest.mark.parametrize("name", ["", "nothing-such", "../../etc/passwd", "a" * 500, "\0", "ü"])
def test_an_unknown_name_is_an_error(lite: Store, my_model: Path, name: str) -> None:
    store = lite
    with pytest.raises(ModelFileError):
        store.models.find(name)
    store.models.add(my_model, "mine")
    with pytest.raises(ModelFileError):
        store.models.find(name)
    with pytest.raises(UnknownModelError):
        store.models.model(name)
    with pytest.raises(UnknownModelError):
        store.models.remove(name)


def test_an_unknown_name_is_answered_with_the_names_there_are(lite: Store) -> None:
    with pytest.raises(ModelFileError, match=f"there are {SHIPPED_NAME}"):
        lite.models.find("nothing-such")


def test_a_name_of_the_catalogue_is_answered_with_how_to_fetch_it(lite: Store) -> None:
    with pytest.raises(ModelFileError, match="sightline models pull yolox-nano"):
        lite.models.find("yolox-nano")


def test_a_removed_model_is_gone_and_can_be_added_again(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "mine")
    store.models.remove("mine")
    assert files(store.models) == []
    store.models.add(my_model, "mine")


def test_the_shipped_model_stays(store: Store) -> None:
    with pytest.raises(NotPossibleError, match="ships with Sightline"):
        store.models.remove(SHIPPED_NAME)
    with pytest.raises(InUseError):
        store.models.remove_artefact(first(store, SHIPPED_NAME).id)
    with pytest.raises(NotPossibleError):
        store.models.rename(SHIPPED_NAME, "other")
    assert shipped_model().is_file()


def test_a_file_that_two_models_share_stays_for_the_other(store: Store, my_model: Path) -> None:
    store.models.add(my_model, "one")
    spec = store.models.add(my_model, "two")
    store.models.remove("one")
    assert store.models.find("two") == spec
    store.models.remove("two")
    assert files(store.models) == []


def test_a_damaged_or_lost_file_is_left_out_and_named(store: Store, my_model: Path) -> None:
    spec = store.models.add(my_model, "mine")
    spec.path.write_bytes(b"damaged")
    assert [one.name for one in store.models.list()] == [SHIPPED_NAME]
    assert [broken.name for broken in store.models.broken()] == ["mine"]
    spec.path.unlink()
    assert "file is gone" in store.models.broken()[0].problem
    store.models.add(my_model, "again")  # the same content mends the first one, too
    assert [one.name for one in store.models.list()] == [SHIPPED_NAME, "again", "mine"]


def test_a_swapped_file_does_not_pass_for_the_added_one(lite: Store, my_model: Path) -> None:
    spec = lite.models.add(my_model, "mine")
    with spec.path.open("ab") as file:
        file.write(b"\x72\x00")  # still an ONNX file, of other bytes
    with pytest.raises(ModelFileError, match="SHA-256"):
        lite.models.find("mine")


def test_a_file_is_read_once(lite: Store, my_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(path: Path) -> ModelSpec:
        read.append(path.name)
        return recognise(path)

    monkeypatch.setattr(recognised, "recognise", noted)
    lite.models.add(my_model, "mine")
    listed = lite.models.list()
    shipped = [shipped_model(precision).name for precision in SHIPPED_FILES]
    assert sorted(read) == sorted([*shipped, my_model.name])
    assert (lite.models.list(), lite.models.find("mine")) == (listed, listed[1])
    assert len(read) == 3
