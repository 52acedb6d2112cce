"""Data sets by name: uploads, folders, and what may not be named."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import shutil
import threading
import zipfile
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import cv2
import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request

from sightline_backend.datasets import (
    dataset_in_use,
    find_dataset,
    list_datasets,
    mend_datasets,
    remove_dataset,
)
from sightline_backend.errors import InUseError, StoreError, UnknownError
from sightline_backend.handlers import add_error_handlers
from sightline_backend.routes import datasets as routes
from sightline_backend.settings import Settings
from sightline_backend.store.store import Store, open_store
from sightline_backend.upload import received
from tests.backend.running import running, until


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def files(prefix: str = "") -> dict[str, bytes]:
    picture = cv2.imencode(".png", np.zeros((20, 40, 3), np.uint8))[1].tobytes()
    return {
        f"{prefix}images/a.png": picture,
        f"{prefix}labels/a.txt": b"0 0.5 0.5 0.5 0.5\n",
        f"{prefix}classes.txt": b"person\n",
    }


def write(folder: Path) -> None:
    for name, content in files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def turn() -> asyncio.Semaphore:
    return asyncio.Semaphore(1)


@pytest.fixture
async def http(
    store: Store, tmp_path: Path, turn: asyncio.Semaphore
) -> AsyncIterator[httpx.AsyncClient]:
    data = tmp_path / "data"
    write(data / "street")
    (data / "nothing").mkdir()
    settings = Settings(data_dir=data, max_dataset_bytes=20_000, models_dir=store.folder)
    app = FastAPI()
    app.include_router(routes.router)
    add_error_handlers(app)
    app.state.service = SimpleNamespace(store=store, settings=settings, dataset_turn=turn)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as client:
        yield client
    store.close()


async def names(http: httpx.AsyncClient) -> list[str]:
    return [row["name"] for row in (await http.get("/api/datasets")).json()]


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


async def added(http: httpx.AsyncClient, name: str = "people") -> None:
    answer = await http.post("/api/datasets", params={"name": name}, content=zipped(files()))
    assert answer.status_code == 201, answer.text


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


async def test_what_a_crash_left_is_deleted_and_what_the_database_lost_is_brought_back(
    http: httpx.AsyncClient, store: Store
) -> None:
    await added(http)
    half, young = store.datasets_folder / ".removed-half-1", store.datasets_folder / "young-1"
    half.mkdir()
    store.datasets.add("half", store.datasets_folder / "half-1", about={})
    young.mkdir()
    os.utime(half, (1, 1))
    about = store.datasets.remove("people")
    os.utime(about.path, (1, 1))
    mend_datasets(store)
    assert find_dataset(store, None, "people").boxes == 1
    assert store.datasets.find("people").about == about.about
    assert [one.name for one in store.datasets.list()] == ["people"]
    assert sorted(store.datasets_folder.iterdir()) == sorted([about.path, young])
    mend_datasets(store)
    assert (await http.delete("/api/datasets/people")).status_code == 204
    assert not about.path.exists()


ABOUT = {"format": "yolo", "pictures": 1, "boxes": 1, "classes": ["a"], "missing": []}


@pytest.mark.parametrize(
    "said",
    [
        None,
        b"",
        b"[]",
        b'{"name": "x"}',
        b'{"name": "x", "about": 3}',
        json.dumps({"name": "../x", "about": ABOUT | {"sha256": "0" * 64}}).encode(),
        json.dumps({"name": 7, "about": ABOUT | {"sha256": "0" * 64}}).encode(),
        json.dumps({"name": "PEOPLE", "about": ABOUT | {"sha256": "0" * 64}}).encode(),
        json.dumps({"name": "x", "about": ABOUT}).encode(),
    ],
)
async def test_what_nobody_knows_among_the_data_sets_is_left(
    said: bytes | None, http: httpx.AsyncClient, store: Store
) -> None:
    await added(http)
    theirs = store.datasets_folder / "photos-20240101"
    write(theirs)
    if said is not None:
        (theirs / ".sightline-about").write_bytes(said)
    os.utime(theirs, (1, 1))
    mend_datasets(store)
    assert (theirs / "images" / "a.png").is_file()
    assert await names(http) == ["people", "dir:street"]


async def test_the_server_starts_while_data_sets_are_mended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = threading.Event()
    mended: list[bool] = []
    monkeypatch.setattr(
        "sightline_backend.app.mend_datasets", lambda _: mended.append(go_on.wait(10))
    )
    async with running() as backend:
        assert (await backend.http.get("/health/live")).status_code == 204
        assert mended == []
        go_on.set()
        await until(lambda: mended == [True])


async def test_a_removal_that_was_cut_off_is_carried_through(
    http: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    await added(http)
    with monkeypatch.context() as broken:
        broken.setattr("sightline_backend.datasets.shutil.rmtree", fail)
        assert (await http.delete("/api/datasets/people")).status_code == 503
    assert list(store.datasets_folder.iterdir()) != []
    mend_datasets(store)
    assert list(store.datasets_folder.iterdir()) == []


async def test_what_an_upload_leaves_is_deleted_beside_the_loop(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    delete = shutil.rmtree

    def watched(*arguments: object, **named: object) -> None:
        threads.append(threading.current_thread())
        delete(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("sightline_backend.store.files.shutil.rmtree", watched)
    await added(http)
    assert threads
    assert threading.main_thread() not in threads


async def test_an_upload_waits_for_its_turn(
    http: httpx.AsyncClient, turn: asyncio.Semaphore
) -> None:
    async with turn:
        second = asyncio.create_task(added(http))
        await asyncio.wait([second], timeout=0.5)
        assert await names(http) == ["dir:street"]
    await second
    assert await names(http) == ["people", "dir:street"]


async def test_an_upload_that_fails_at_its_row_leaves_no_folder(
    http: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("The database is gone.")

    monkeypatch.setattr("sightline_backend.store.datasets.Datasets.add", fail)
    answer = await http.post("/api/datasets", params={"name": "x"}, content=zipped(files()))
    assert answer.status_code == 503
    assert list(store.datasets_folder.iterdir()) == []
    assert list(store.folder.glob(".incoming-*")) == []


async def test_a_full_disk_is_said(
    http: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sightline_backend.datasets.examine_dataset", fail)
    answer = await http.post("/api/datasets", params={"name": "x"}, content=zipped(files()))
    assert answer.status_code == 503, answer.text
    assert "room" in answer.json()["error"]["message"]
    assert list(store.folder.glob(".incoming-*")) == []


async def test_a_client_that_leaves_is_no_failure_of_the_server(store: Store) -> None:
    messages = iter([{"type": "http.request", "body": b"x", "more_body": True}])

    async def receive() -> dict[str, object]:
        return next(messages, {"type": "http.disconnect"})

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(HTTPException) as raised:
        async with received(request, "upload.zip", store.models, 1000, "too large"):
            pass
    assert raised.value.status_code == 400
    assert list(store.folder.glob(".incoming-*")) == []
    store.close()


async def test_a_moved_store_keeps_its_data_sets(
    http: httpx.AsyncClient, store: Store, tmp_path: Path
) -> None:
    await added(http)
    store.close()
    store.folder.rename(tmp_path / "moved")
    moved = open_store(tmp_path / "moved")
    assert find_dataset(moved, None, "people").boxes == 1
    moved.close()
