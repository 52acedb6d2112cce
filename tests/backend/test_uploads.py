"""Uploads are bounded while they arrive: in bytes, in time, in number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest

from sightline_backend.gate import FORM_BYTES, LARGE_AT_ONCE
from tests.backend.running import Backend, running, until
from tests.fakes import encoded, grey

BOUNDARY = "frontier"
HEAD = (
    f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=file; filename=a.jpg\r\n"
    "Content-Type: image/jpeg\r\n\r\n"
).encode()
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


async def raw_request(
    backend: Backend, length: int | None, path: str = "/detect"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Begin an upload whose body doesn't come; with no length it is sent in chunks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    start = HEAD if length is not None else b"%x\r\n%b\r\n" % (len(HEAD), HEAD)
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {FORM['content-type']}", size]
    writer.write("\r\n".join([*lines, "", ""]).encode() + start)
    await writer.drain()
    return reader, writer


async def test_an_upload_that_announces_too_much_is_refused() -> None:
    async with running(max_upload_bytes=100_000) as backend:
        response = await backend.detect(bytes(100_001 + FORM_BYTES))
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "too_large"
    assert "100000 bytes" in response.json()["error"]["message"]


async def test_an_endless_upload_is_cut_off() -> None:
    async with running(max_upload_bytes=2**20) as backend:
        reader, writer = await raw_request(backend, None)
        part = b"10000\r\n" + bytes(2**16) + b"\r\n"
        sent = 0
        while not reader.at_eof() and not writer.transport.is_closing():
            writer.write(part)
            sent += len(part)
            with suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(0)
        assert sent < 20 * 2**20, "no more than what connections buffer"
        assert (await backend.detect(encoded(grey(200)))).status_code == 200
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_an_upload_of_unknown_length_that_is_too_large_is_told_so() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield HEAD
        for _ in range(24):
            yield bytes(2**16)

    async with running(max_upload_bytes=2**20) as backend:
        response = await backend.http.post("/detect", content=parts(), headers=FORM)
    assert response.status_code == 413
    assert "1048576 bytes" in response.json()["error"]["message"]


async def test_a_file_just_over_the_limit_is_refused_and_one_at_the_limit_is_read() -> None:
    async with running(max_upload_bytes=50_000) as backend:
        fits = await backend.detect(encoded(grey(1)).ljust(50_000, b"\0"))
        over = await backend.detect(encoded(grey(1)).ljust(50_001, b"\0"))
    assert fits.status_code == 200
    assert (over.status_code, over.json()["error"]["code"]) == (413, "too_large")


async def test_an_upload_that_stalls_is_given_up() -> None:
    async with running(upload_timeout_s=0.1) as backend:
        reader, writer = await raw_request(backend, 10_000)
        answer = await reader.readuntil(b"}}")
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"code":"timeout"' in answer
        writer.close()
        await writer.wait_closed()


async def test_uploads_beyond_the_limit_are_told_to_come_back() -> None:
    async with running(max_uploads=1) as backend:
        _, writer = await raw_request(backend, 10_000)
        picture = encoded(grey(200))
        response = await backend.detect(picture)
        while response.status_code == 200:  # the stalled one isn't in hand yet
            response = await backend.detect(picture)
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "busy"
        assert response.headers["retry-after"] == "1"
        writer.close()
        await writer.wait_closed()
        while response.status_code == 503:
            response = await backend.detect(picture)
        assert response.status_code == 200


async def test_models_and_data_sets_that_trickle_in_keep_no_picture_waiting() -> None:
    async with running(max_uploads=1) as backend, AsyncExitStack() as clients:
        for number in range(LARGE_AT_ONCE):
            path = "/api/datasets?name=a" if number % 2 else "/api/models?filename=a.onnx"
            _, writer = await raw_request(backend, 10_000, path)
            clients.callback(writer.close)
        status = 0
        while status != 503:  # until all of them are in hand
            answer = await backend.http.post("/api/models?filename=b.onnx", content=b"no model")
            status = answer.status_code
        assert answer.json()["error"]["code"] == "busy"
        assert (await backend.detect(encoded(grey(200)))).status_code == 200


async def test_a_client_that_leaves_in_mid_upload_leaves_nothing_behind() -> None:
    async with running(max_uploads=1) as backend:
        _, writer = await raw_request(backend, 10_000)
        writer.transport.abort()
        responses: list[int] = []
        while not responses or responses[-1] != 200:
            responses.append((await backend.detect(encoded(grey(200)))).status_code)
        assert set(responses) <= {200, 503}


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://127.0.0.1:8501", 200),
        ("http://localhost:1", 200),
        ("https://cams.example.org", 200),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
async def test_pages_of_other_hosts_may_not_post(origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"origin": origin}
    async with running(allowed_origins="https://cams.example.org") as backend:
        files = {"file": encoded(grey(200))}
        response = await backend.http.post("/detect", files=files, headers=headers)
        preflight = await backend.http.options(
            "/detect", headers={**headers, "access-control-request-method": "POST"}
        )
    assert response.status_code == status
    allowed = response.headers.get("access-control-allow-origin")
    assert allowed == (origin if status == 200 else None)
    if origin is not None:
        assert preflight.status_code == (204 if status == 200 else 403)
        assert ("access-control-allow-methods" in preflight.headers) == (status == 200)
        assert status == 403 or "origin" in response.headers["vary"].lower()


async def test_waiting_uploads_end_when_the_server_stops() -> None:
    async with running() as backend:
        with backend.engine.held():
            tasks = [asyncio.create_task(backend.detect(encoded(grey(200)))) for _ in range(3)]
            await asyncio.to_thread(backend.engine.busy.wait)
            backend.server.should_exit = True
            await until(lambda: backend.service.sessions.stopping)
        responses = await asyncio.gather(*tasks)
    assert {response.status_code for response in responses} <= {200, 503}
