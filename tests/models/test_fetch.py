"""A catalogue model from a real server into the store."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sightline_backend.errors import NameTakenError
from sightline_backend.models.catalogue import CATALOGUE, CatalogueModel, catalogue_model
from sightline_backend.models.download import DownloadError
from sightline_backend.models.fetch import fetch
from sightline_backend.models.names import check_name
from sightline_backend.store.models import ModelStore
from sightline_engines.assets import shipped_model
from sightline_engines.errors import ModelFileError
from tests.models import file_server
from tests.models.file_server import Script, serving


def entry(url: str, content: bytes) -> CatalogueModel:
    digest = hashlib.sha256(content).hexdigest()
    return CatalogueModel("some-model", "of a test", "BSD-3-Clause", url, len(content), digest)


def test_a_fetched_model_carries_its_licence_and_source(tmp_path: Path) -> None:
    content = shipped_model().read_bytes()
    store = ModelStore(tmp_path)
    with serving(Script(content, [file_server.first(1000), file_server.ranged])) as url:
        fetch(entry(url, content), store, lambda *_: None)
        spec = store.find("some-model")
        assert (spec.licence, spec.source) == ("BSD-3-Clause", url)
    assert list((tmp_path / ".partial").iterdir()) == []


def test_a_taken_name_is_refused_before_the_download(tmp_path: Path) -> None:
    content = shipped_model().read_bytes()
    store = ModelStore(tmp_path)
    store.add(shipped_model(), "some-model")
    script = Script(content, [file_server.whole])
    with serving(script) as url, pytest.raises(NameTakenError, match="already"):
        fetch(entry(url, content), store, lambda *_: None)
    assert script.asked == []


def test_a_file_that_lies_about_its_hash_never_becomes_a_model(tmp_path: Path) -> None:
    content = shipped_model().read_bytes()
    store = ModelStore(tmp_path)
    with (
        serving(Script(content[::-1], [file_server.whole])) as url,
        pytest.raises(DownloadError, match="SHA-256"),
    ):
        fetch(entry(url, content), store, lambda *_: None)
    assert len(store.list()) == 1


def test_a_good_download_that_is_no_model_is_refused_and_dropped(tmp_path: Path) -> None:
    content = b"well hashed, but no model"
    with (
        serving(Script(content, [file_server.whole])) as url,
        pytest.raises(ModelFileError),
    ):
        fetch(entry(url, content), ModelStore(tmp_path), lambda *_: None)
    assert list((tmp_path / ".partial").iterdir()) == []


@pytest.mark.parametrize("model", CATALOGUE, ids=lambda model: model.name)
def test_every_entry_is_pinned_and_says_its_licence(model: CatalogueModel) -> None:
    assert check_name(model.name)
    assert model.url.startswith("https://")
    assert model.licence in {"Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause"}
    assert bytes.fromhex(model.sha256).__len__() == 32
    assert 10**6 < model.size_bytes < 10**8
    assert catalogue_model(model.name) is model


@pytest.mark.parametrize("name", ["", "yolov8n"])
def test_a_name_that_the_catalogue_lacks_is_answered_with_those_it_has(name: str) -> None:
    with pytest.raises(ModelFileError, match="yolox-nano, yolox-tiny, yolox-s"):
        catalogue_model(name)
