"""The models of a machine: found, added whole or not at all, removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sightline_backend.models import recognised
from sightline_backend.models.store import ModelStore
from sightline_engines.assets import SHIPPED_NAME, shipped_model
from sightline_engines.errors import ModelFileError
from sightline_engines.recognise import recognise
from sightline_engines.sidecar import sidecar_path
from sightline_engines.types import ModelSpec


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def my_model(tmp_path: Path) -> Path:
    """Return somebody's own ONNX file, without a sidecar."""
    return Path(shutil.copy(shipped_model(), tmp_path / "my model.onnx"))


def test_a_fresh_store_holds_the_shipped_model_and_makes_no_folder(store: ModelStore) -> None:
    assert [spec.name for spec in store.list()] == [SHIPPED_NAME]
    assert not store.folder.exists()


def test_an_added_model_is_found_by_name_with_its_facts(store: ModelStore, my_model: Path) -> None:
    added = store.add(my_model, licence="MIT", source="https://example.org/my")
    my_model.unlink()
    found = store.find("my-model")
    assert found == added
    assert found.name == "my-model"
    assert (found.licence, found.source) == ("MIT", "https://example.org/my")
    assert [spec.name for spec in store.list()] == [SHIPPED_NAME, "my-model"]
    assert sidecar_path(found.path).is_file()


def test_the_sidecar_beside_a_file_is_taken_over(store: ModelStore, my_model: Path) -> None:
    sidecar_path(my_model).write_text('{"labels": ["cat", "dog"], "postprocess": {"conf": 0.6}}')
    store.add(my_model, "pets")
    assert store.find("pets").labels == ("cat", "dog")
    assert store.find("pets").postprocess.conf == 0.6


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.onnx", b""),
        ("text.onnx", b"this is no model"),
        ("weights.pt", b"PK\x03\x04"),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_stored(
    store: ModelStore, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelFileError):
        store.add(tmp_path / name)
    assert not store.folder.exists()


def test_a_missing_file_is_an_error_that_names_it(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gone\.onnx"):
        store.add(tmp_path / "gone.onnx")


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden"])
def test_a_name_that_leaves_the_folder_is_refused(
    store: ModelStore, my_model: Path, name: str
) -> None:
    with pytest.raises(ModelFileError, match="can't be a model's name"):
        store.add(my_model, name)
    assert not store.folder.exists()


@pytest.mark.parametrize("name", ["mine", "MINE", SHIPPED_NAME])
def test_a_taken_name_is_refused_and_nothing_is_left_behind(
    store: ModelStore, my_model: Path, name: str
) -> None:
    store.add(my_model, "mine")
    with pytest.raises(ModelFileError, match="already"):
        store.add(my_model, name)
    assert [p.name for p in store.folder.iterdir()] == ["mine"]


def test_any_onnx_file_is_found_by_its_path(store: ModelStore, my_model: Path) -> None:
    assert store.find(str(my_model)).path == my_model


@pytest.mark.parametrize("name", ["", "nothing-such", "../../etc/passwd", "a" * 500, "\0"])
def test_an_unknown_name_is_an_error(store: ModelStore, name: str) -> None:
    with pytest.raises(ModelFileError):
        store.find(name)


def test_an_unknown_name_is_answered_with_the_names_there_are(store: ModelStore) -> None:
    with pytest.raises(ModelFileError, match=f"there are {SHIPPED_NAME}"):
        store.find("nothing-such")


def test_a_name_of_the_catalogue_is_answered_with_how_to_fetch_it(store: ModelStore) -> None:
    with pytest.raises(ModelFileError, match="sightline models pull yolox-nano"):
        store.find("yolox-nano")


def test_a_removed_model_is_gone_and_can_be_added_again(store: ModelStore, my_model: Path) -> None:
    store.add(my_model, "mine")
    store.remove("mine")
    assert list(store.folder.iterdir()) == []
    store.add(my_model, "mine")


@pytest.mark.parametrize("name", ["", "nothing-such", "..", SHIPPED_NAME])
def test_what_was_not_added_cannot_be_removed(store: ModelStore, name: str) -> None:
    with pytest.raises(ModelFileError):
        store.remove(name)


def test_a_damaged_model_is_left_out_and_named(store: ModelStore, my_model: Path) -> None:
    spec = store.add(my_model, "mine")
    spec.path.write_bytes(b"damaged")
    (store.folder / "odd name").mkdir()
    (store.folder / ".incoming-left-by-a-crash").mkdir()
    assert [one.name for one in store.list()] == [SHIPPED_NAME]
    assert [broken.name for broken in store.broken()] == ["mine", "odd name"]


def test_a_swapped_file_does_not_pass_for_the_added_one(store: ModelStore, my_model: Path) -> None:
    spec = store.add(my_model, "mine")
    with spec.path.open("ab") as file:
        file.write(b"\x72\x00")  # still an ONNX file, of other bytes
    with pytest.raises(ModelFileError, match="SHA-256"):
        store.find("mine")


def test_a_file_is_read_again_only_once_it_or_its_sidecar_has_changed(
    store: ModelStore, my_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def noted(path: Path) -> ModelSpec:
        read.append(path.name)
        return recognise(path)

    monkeypatch.setattr(recognised, "recognise", noted)
    spec = store.add(my_model, "mine")
    first = store.list()
    assert sorted(read) == sorted([shipped_model().name, "mine.onnx"])
    assert (store.list(), list(store.broken()), store.find("mine")) == (first, [], first[1])
    assert len(read) == 2
    sidecar_path(spec.path).write_text('{"labels": "no list"}')
    for _ in range(2):
        assert [one.name for one in store.broken()] == ["mine"]
    assert read[2:] == ["mine.onnx"]
    store.remove("mine")
    assert [one.name for one in store.list()] == [SHIPPED_NAME]
