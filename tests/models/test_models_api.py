"""The HTTP API of stored models, on the real server and a real store."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sightline_backend.models import recognised
from sightline_backend.store.store import Store
from sightline_engines.assets import SHIPPED_NAME, shipped_model
from sightline_engines.errors import ModelFileError
from sightline_engines.recognise import recognise
from sightline_engines.types import ModelSpec
from tests.backend.running import Backend, running, until
from tests.engines.tiny import constant_model, random_raw

CONTENT = shipped_model().read_bytes()


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    async with running(models_dir=tmp_path / "models", max_model_bytes=5_000_000) as backend:
        yield backend


def store(backend: Backend) -> Store:
    return backend.service.store


async def added(backend: Backend, content: bytes = CONTENT, **query: str) -> dict[str, Any]:
    """Upload a model that must be taken."""
    answer = await backend.http.post(
        "/api/models", params={"filename": "mine.onnx", **query}, content=content
    )
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def leftovers(backend: Backend) -> list[str]:
    folder = store(backend).folder
    return [p.name for p in (*folder.glob(".incoming-*"), *folder.glob("files/*/*"))]


async def test_an_uploaded_model_is_described_with_its_artefacts(backend: Backend) -> None:
    said = await added(backend, licence="MIT", source="the lab", description="for the yard")
    assert (said["name"], said["description"], said["shipped"]) == ("mine", "for the yard", False)
    (version,) = said["versions"]
    assert (version["number"], version["licence"], version["source"]) == (1, "MIT", "the lab")
    assert (version["family"], version["input_size_wh"]) == ("yolox", [416, 416])
    (artefact,) = version["artefacts"]
    assert (artefact["format"], artefact["size_bytes"]) == ("onnx", len(CONTENT))
    assert said["active"] == {"artefact_id": artefact["id"], "version": 1, "engine": ""}
    store(backend).measurements.add(artefact["id"], "openvino", {"p50": 1.5})
    again = (await backend.http.get("/api/models/mine")).json()
    (measured,) = again["versions"][0]["artefacts"][0]["measurements"]
    assert (measured["engine"], measured["figures"]) == ("openvino", {"p50": 1.5})


async def test_a_second_upload_is_a_version_and_a_sidecar_is_read(backend: Backend) -> None:
    await added(backend)
    said = await added(backend, model="mine", sidecar='{"labels": ["cat", "dog"]}')
    assert [version["number"] for version in said["versions"]] == [1, 2]
    assert [version["labels"] for version in said["versions"]] == [
        ["person", "face"],
        ["cat", "dog"],
    ]
    assert said["active"]["version"] == 1


@pytest.mark.parametrize(
    ("query", "content", "status", "code"),
    [
        ({"filename": "empty.onnx"}, b"", 422, "bad_model"),
        ({"filename": "text.onnx"}, b"no model", 422, "bad_model"),
        ({"filename": "best.pt"}, b"a pickle", 403, "not_allowed"),
        ({"filename": "engine.plan"}, b"a plan", 422, "bad_model"),
        ({"filename": "../../up.xml"}, b"<net/>", 422, "bad_model"),
        ({"filename": "a.onnx", "name": "../up"}, CONTENT, 422, "bad_model"),
        ({"filename": "a.onnx", "name": SHIPPED_NAME}, CONTENT, 409, "name_taken"),
        ({"filename": "a.onnx", "model": "no-such"}, CONTENT, 404, "unknown_model"),
        ({"filename": "a.onnx", "sidecar": "no JSON"}, CONTENT, 422, "bad_model"),
        ({"filename": "a.onnx", "licence": "x" * 300}, CONTENT, 422, "invalid_request"),
        ({"filename": "a.onnx"}, b"x" * 5_000_001, 413, "too_large"),
        ({}, CONTENT, 422, "invalid_request"),
    ],
)
async def test_what_cannot_be_taken_leaves_nothing(
    backend: Backend, query: dict[str, str], content: bytes, status: int, code: str
) -> None:
    answer = await backend.http.post("/api/models", params=query, content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert leftovers(backend) == []


async def test_an_upload_is_read_in_another_process(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = (shipped_model(), shipped_model("int8"))

    def here(path: Path) -> ModelSpec:
        assert path in ours, "a user's file was opened in the server's own process"
        return recognise(path)

    monkeypatch.setattr(recognised, "recognise", here)
    said = await added(backend, sidecar='{"labels": ["cat", "dog"]}')
    assert said["versions"][0]["labels"] == ["cat", "dog"]
    again = await added(backend, model="mine")
    assert again["versions"][1]["labels"] == ["person", "face"]
    assert leftovers(backend) != []


@pytest.mark.parametrize(
    "sidecar",
    [
        r'{"labels": ["\ud800", "face"]}',
        r'{"labels": ["\u0000", "face"]}',
        r'{"version": "\ud800"}',
        r'{"notes": ["\ud800"]}',
        r'{"precision": "\ud800"}',
        r'{"\ud800": 1}',
    ],
)
async def test_text_that_cannot_be_shown_breaks_the_list_for_nobody(
    backend: Backend, sidecar: str
) -> None:
    query = {"filename": "mine.onnx", "sidecar": sidecar}
    answer = await backend.http.post("/api/models", params=query, content=CONTENT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_model")
    assert (await backend.http.get("/api/models")).status_code == 200
    assert leftovers(backend) == []


async def test_a_scan_deletes_what_a_crash_left_of_a_data_set(backend: Backend) -> None:
    half = store(backend).datasets_folder / ".removed-half-1"
    half.mkdir(parents=True)
    os.utime(half, (1, 1))
    assert (await backend.http.post("/api/models/scan")).status_code == 200
    assert not half.exists()


def test_only_so_many_files_are_remembered(tmp_path: Path) -> None:
    known = recognised.RecognisedFiles()
    for number in range(300):
        with pytest.raises(ModelFileError):
            known.spec(tmp_path / f"{number}.onnx")
    spec = recognise(shipped_model())
    known.know(tmp_path / "mine.onnx", spec)
    assert known.spec(tmp_path / "mine.onnx") is spec
    assert len(vars(known)["_known"]) <= 256


async def test_a_client_that_leaves_half_way_leaves_nothing(backend: Backend) -> None:
    folder = store(backend).folder
    with socket.create_connection(("127.0.0.1", backend.port)) as client:
        head = "POST /api/models?filename=half.onnx HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        client.sendall(f"{head}content-length: {len(CONTENT)}\r\n\r\n".encode() + CONTENT[: 2**20])
        await asyncio.wait_for(until(lambda: bool(list(folder.glob(".incoming-*")))), 30)
    await asyncio.wait_for(until(lambda: leftovers(backend) == []), 30)
    assert list(store(backend).models.summaries()) == [SHIPPED_NAME]


async def test_a_model_is_renamed_described_and_deleted(backend: Backend) -> None:
    await added(backend)
    change = {"name": "yours", "description": "for the yard"}
    said = (await backend.http.patch("/api/models/mine", json=change)).json()
    assert (said["name"], said["description"]) == ("yours", "for the yard")
    taken = await backend.http.patch("/api/models/yours", json={"name": SHIPPED_NAME})
    assert taken.status_code == 409
    assert (await backend.http.delete("/api/models/yours")).status_code == 204
    assert (await backend.http.delete("/api/models/yours")).status_code == 404
    assert leftovers(backend) == []


async def test_what_serves_or_is_worked_on_is_not_deleted(backend: Backend) -> None:
    said = await added(backend)
    await added(backend, model="mine")
    active = said["active"]["artefact_id"]
    for path in ("models/mine/versions/1", f"artefacts/{active}", f"models/{SHIPPED_NAME}"):
        answer = await backend.http.delete(f"/api/{path}")
        assert answer.status_code == 409, path
    with store(backend).models.hold([store(backend).models.find("mine")]):
        for path in ("models/mine", "models/mine/versions/2"):
            answer = await backend.http.delete(f"/api/{path}")
            assert answer.json()["error"]["code"] == "in_use"
    assert (await backend.http.delete("/api/models/mine/versions/2")).status_code == 204
    assert (await backend.http.delete("/api/models/mine/versions/2")).status_code == 404


async def test_a_model_that_is_loaded_keeps_its_name_and_its_files(backend: Backend) -> None:
    await added(backend, name="fake")  # as the default of this server is called
    for answer in (
        await backend.http.delete("/api/models/fake"),
        await backend.http.patch("/api/models/fake", json={"name": "other"}),
    ):
        assert answer.json()["error"]["code"] == "in_use"
    (listed,) = (await backend.http.get("/api/models")).json()[:1]
    assert (listed["name"], listed["versions"], listed["format"]) == ("fake", 1, "onnx")


async def test_files_are_handed_out_as_they_are_and_pairs_as_a_zip(
    backend: Backend, tmp_path: Path
) -> None:
    said = await added(backend)
    active = store(backend).models.artefact(said["active"]["artefact_id"])
    answer = await backend.http.get(f"/api/artefacts/{active.id}/file")
    assert answer.content == CONTENT
    assert answer.headers["content-disposition"] == 'attachment; filename="mine-v1-fp32.onnx"'
    assert active.spec is not None
    (tmp_path / "model.xml").write_bytes(b"<net/>")
    (tmp_path / "model.bin").write_bytes(b"x" * 3_000_000)
    made = replace(active.spec, path=tmp_path / "model.xml", precision="int8")
    pair = store(backend).models.add_artefact(active, made, made_from_id=active.id, origin="job 1")
    answer = await backend.http.get(f"/api/artefacts/{pair.id}/file")
    assert answer.headers["content-disposition"] == 'attachment; filename="mine-v1-int8.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read("mine-v1-int8.xml") == b"<net/>"
        assert archive.read("mine-v1-int8.bin") == b"x" * 3_000_000
    assert (await backend.http.get("/api/artefacts/99/file")).status_code == 404


async def test_checkpoints_come_and_go_only_where_pickles_are_allowed(tmp_path: Path) -> None:
    async with running(models_dir=tmp_path / "models", allow_pickle=True) as backend:
        said = await added(backend, b"a pickle", filename="best.pt")
        assert (said["active"], said["versions"][0]["family"]) == (None, None)
        path = f"/api/artefacts/{said['versions'][0]['artefacts'][0]['id']}/file"
        assert (await backend.http.get(path)).content == b"a pickle"
    async with running(models_dir=tmp_path / "models") as backend:
        assert (await backend.http.get(path)).status_code == 403


async def test_a_model_of_a_checkpoint_alone_is_listed_last_and_answers_nobody(
    tmp_path: Path,
) -> None:
    async with running(models_dir=tmp_path / "models", allow_pickle=True) as backend:
        about = {"filename": "best.pt", "licence": "MIT", "description": "for the yard"}
        await added(backend, b"a pickle", **about)
        await added(backend)
        *others, last = (await backend.http.get("/api/models")).json()
        assert {one["format"] for one in others} == {"onnx"}
        assert (last["name"], last["format"], last["versions"]) == ("best", "pt", 1)
        assert (last["licence"], last["description"]) == ("MIT", "for the yard")
        assert (last["labels"], last["input_size_wh"]) == ([], [0, 0])
        assert (last["loaded"], last["default"]) == (False, False)
        refused = await backend.detect(b"any", model="best")
        assert refused.status_code == 404
        await added(backend, model="best")  # its ONNX
        formats = {one["format"] for one in (await backend.http.get("/api/models")).json()}
        assert formats == {"onnx"}


async def test_what_was_promoted_is_told_the_newest_first(backend: Backend) -> None:
    said = await added(backend)
    assert (said["promotions"], said["rollback_to"]) == ([], None)
    first = said["active"]["artefact_id"]
    promotions = store(backend).promotions
    promotions.add("mine", first, engine="openvino", accuracy_loss=0.002)
    promotions.roll_back("mine")
    promotions.add("mine", first, reason="the yard is dark", accuracy_loss=0.03, forced=True)
    said = (await backend.http.get("/api/models/mine")).json()
    assert said["rollback_to"] == {"artefact_id": first, "version": 1, "engine": ""}
    newest, oldest = said["promotions"]
    assert (newest["artefact_id"], newest["reason"]) == (first, "the yard is dark")
    assert (newest["forced"], newest["accuracy_loss"]) == (True, 0.03)
    assert newest["rolled_back_at"] is None
    assert (oldest["engine"], oldest["forced"]) == ("openvino", False)
    assert oldest["rolled_back_at"] >= oldest["created_at"]


async def test_whatever_changes_something_asks_for_the_password(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"models_dir": tmp_path / "models", "admin_token": "secret"}
    async with running(**settings) as backend:
        for method, path in (
            ("POST", "models?filename=a.onnx"),
            ("POST", "models/scan"),
            ("PATCH", "models/mine"),
            ("DELETE", "models/mine"),
            ("DELETE", "models/mine/versions/1"),
            ("DELETE", "artefacts/1"),
        ):
            answer = await backend.http.request(method, f"/api/{path}", json={})
            assert answer.status_code == 403, path
        assert (await backend.http.get("/api/models")).status_code == 200


async def test_a_page_that_may_be_a_strangers_changes_nothing_without_a_password(
    backend: Backend,
) -> None:
    await added(backend)
    strange = {"host": "evil.example:8000", "origin": "http://evil.example:8000"}
    refused = await backend.http.delete("/api/models/mine", headers=strange)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_allowed")
    assert "SIGHTLINE_ALLOWED_ORIGINS" in refused.json()["error"]["message"]
    own = {"host": "camera-box:8000", "origin": "http://camera-box:8501"}
    assert (await backend.http.delete("/api/models/mine", headers=own)).status_code == 204


async def test_a_file_that_is_gone_is_said_to_be_gone(backend: Backend) -> None:
    await added(backend)
    artefact = store(backend).models.model("mine").versions[0].artefacts[0]
    artefact.path.unlink()
    gone = await backend.http.get(f"/api/artefacts/{artefact.id}/file")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "unknown")


async def test_a_scan_says_what_it_found(backend: Backend, tmp_path: Path) -> None:
    await added(backend)
    model = constant_model(tmp_path / "old.onnx", random_raw("end2end", 2))
    old = store(backend).folder / "old"
    old.mkdir()
    model.rename(old / "old.onnx")
    said = (await backend.http.post("/api/models/scan")).json()
    assert said == {"added": ["old"], "missing": [], "broken": [], "orphaned": []}


async def test_conversions_are_listed_with_what_keeps_them_from_being_made(
    backend: Backend,
) -> None:
    rows = (await backend.http.get("/api/conversions")).json()
    assert {(row["format"], row["precision"]) for row in rows} >= {
        ("onnx", "int8"),
        ("openvino", "fp16"),
        ("tensorrt", "fp32"),
    }
