"""Data sets by name: uploads, folders, and what may not be named."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from sightline_backend.datasets import (
    dataset_in_use,
    find_dataset,
    list_datasets,
    remove_dataset,
)
from sightline_backend.errors import InUseError, UnknownError
from sightline_backend.store.store import Store
from tests.backend.datasets.calls import added, files, names, write, zipped


@pytest.mark.parametrize("prefix", ["", "people/", "a/b/"])
async def test_a_zip_is_uploaded_listed_read_and_deleted(
    prefix: str, http: httpx.AsyncClient, store: Store
) -> None:
    assert await names(http) == ["dir:street"]
    content = zipped(files(prefix))
    answer = await http.post("/api/datasets", params={"name": "people"}, content=content)
    assert answer.status_code == 201, answer.text
    assert answer.json()["about"]["boxes"] == 1
    assert await names(http) == ["people", "dir:street"]
    assert find_dataset(store, None, "people").classes == ("person",)
    again = await http.post("/api/datasets", params={"name": "People"}, content=content)
    assert again.status_code == 409
    assert (await http.delete("/api/datasets/people")).status_code == 204
    assert await names(http) == ["dir:street"]
    assert list(store.datasets_folder.iterdir()) == []
    assert (await http.delete("/api/datasets/people")).status_code == 404
    assert (await http.delete("/api/datasets/dir:street")).status_code == 409


@pytest.mark.parametrize(
    ("content", "name", "answered"),
    [
        (b"", "x", (422, "")),
        (b"no zip", "x", (422, "")),
        (zipped({}), "x", (422, "")),
        (zipped({"a.txt": b"hello"}), "x", (422, "no labels")),
        (zipped({**files(), "labels/a.txt": b"7 0 0 0 0"}), "x", (422, "a.txt, line 1")),
        (zipped({**files(), "../evil.txt": b"x"}), "x", (422, "")),
        (zipped(files()), "../x", (422, "can't be")),
        (zipped({**files(), "big": b"\0" * 30_000}), "x", (413, "20")),
        (zipped({**files(), ".sightline-about/a": b"x"}), "x", (422, "a name that is taken")),
    ],
)
async def test_what_is_no_data_set_leaves_nothing_behind(
    content: bytes, name: str, answered: tuple[int, str], http: httpx.AsyncClient, store: Store
) -> None:
    status, said = answered
    answer = await http.post("/api/datasets", params={"name": name}, content=content)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]["message"] or status == 413
    assert store.datasets.list() == []
    assert not store.datasets_folder.exists() or list(store.datasets_folder.iterdir()) == []


async def test_a_body_without_a_length_is_counted_too(http: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"\0" * 1000

    answer = await http.post("/api/datasets", params={"name": "x"}, content=endless())
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "name",
    ["dir:", "dir:.", "dir:..", "dir:../out", "dir:/etc", "dir:gone", "dir:link", "gone", ""],
)
def test_nothing_outside_the_data_folder_can_be_named(
    name: str, store: Store, tmp_path: Path
) -> None:
    write(tmp_path / "out")
    write(tmp_path / "data" / "street")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "out")
    assert find_dataset(store, tmp_path / "data", "dir:street").boxes == 1
    with pytest.raises(UnknownError):
        find_dataset(store, tmp_path / "data", name)
    store.close()


def test_without_a_data_folder_none_is_listed(store: Store, tmp_path: Path) -> None:
    assert list_datasets(store, None) == []
    assert list_datasets(store, tmp_path / "gone") == []
    with pytest.raises(UnknownError, match="SIGHTLINE_DATA_DIR"):
        find_dataset(store, None, "dir:x")
    store.close()


async def test_an_upload_is_unpacked_and_read_in_another_process(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a user's zip was opened in the server's own process")

    content = zipped(files())
    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    answer = await http.post("/api/datasets", params={"name": "people"}, content=content)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    "written",
    [
        b"\xed\xa0\x80",
        b'names: ["\\ud800"]\nval: images',
        b'names: ["\\0"]\nval: images',
        b"names: [&a x, *a]\nval: images",
        b"x: 2024-13-45\nnames: [a]\nval: nowhere",
        b"names: [" + b"9" * 5000 + b"]\nval: images",
    ],
)
async def test_a_hostile_description_is_refused_and_the_list_still_answers(
    written: bytes, http: httpx.AsyncClient
) -> None:
    content = zipped({**files(), "data.yaml": written})
    answer = await http.post("/api/datasets", params={"name": "x"}, content=content)
    assert answer.status_code == 422, answer.text
    assert len(answer.json()["error"]["message"]) < 1100
    assert await names(http) == ["dir:street"]


async def test_a_data_set_that_a_job_reads_is_not_deleted(
    http: httpx.AsyncClient, store: Store
) -> None:
    await added(http)
    with dataset_in_use(store, "people"):
        answer = await http.delete("/api/datasets/people")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "in_use")
        assert find_dataset(store, None, "people").boxes == 1
    assert (await http.delete("/api/datasets/people")).status_code == 204
    with pytest.raises(UnknownError), dataset_in_use(store, "people"):
        pass
    with dataset_in_use(store, None), dataset_in_use(store, "dir:street"):
        pass


@pytest.mark.parametrize("kind", ["benchmark", "convert", "validate"])
async def test_a_job_holds_its_data_set(
    kind: str, http: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object) -> dict[str, str]:
        with pytest.raises(InUseError):
            remove_dataset(store, "people")
        return {"done": kind}

    await added(http)
    job = import_module(f"sightline_backend.jobs.work.{kind}")
    monkeypatch.setattr(job, "_run", work)
    asked = SimpleNamespace(dataset="people")
    assert job.run(asked, SimpleNamespace(store=store)) == {"done": kind}
    remove_dataset(store, "people")


async def test_an_upload_waits_for_its_turn(
    http: httpx.AsyncClient, turn: asyncio.Semaphore
) -> None:
    async with turn:
        second = asyncio.create_task(added(http))
        await asyncio.wait([second], timeout=0.5)
        assert await names(http) == ["dir:street"]
    await second
    assert await names(http) == ["people", "dir:street"]
