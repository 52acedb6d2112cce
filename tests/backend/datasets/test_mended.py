"""What uploads and removals that were cut off leave behind, and what becomes of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from pathlib import Path

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from sightline_backend.datasets import (
    find_dataset,
    mend_datasets,
)
from sightline_backend.errors import StoreError
from sightline_backend.store.store import Store, open_store
from sightline_backend.upload import received
from tests.backend.datasets.calls import added, files, names, write, zipped
from tests.backend.running import running, until


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
