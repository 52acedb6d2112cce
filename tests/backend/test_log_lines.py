"""The log of a real server with a real worker process, as a collector of logs reads it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline_backend.logs import LogOptions
from sightline_backend.workers.messages import EngineOptions
from sightline_backend.workers.process import ProcessRunner
from sightline_engines import wire
from sightline_engines.assets import shipped_model
from sightline_engines.picture import PictureLimits
from sightline_engines.recognise import recognise
from tests.backend.camera import connected
from tests.browser import processes
from tests.fakes import encoded, grey
from tests.frontend.fake_backend import free_port


@dataclass(frozen=True, slots=True, eq=False)
class Logging:
    """A server that writes JSON into a file."""

    port: int
    log: Path

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """Return its lines, all or those of one event; each must be an object of its own."""
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in found if event in ("", line["event"])]

    def wait_for(self, event: str, **facts: str) -> dict[str, Any]:
        """Wait for a line that says these facts, too, and return it."""
        end_s = time.monotonic() + 20
        while not (found := [x for x in self.lines(event) if facts.items() <= x.items()]):
            assert time.monotonic() < end_s, f"no {event!r}:\n{self.log.read_text()[-2000:]}"
            time.sleep(0.05)
        return found[-1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logging]:
    folder, port = tmp_path_factory.mktemp("logging"), free_port()
    program = processes.backend(
        port,
        folder / "backend.log",
        models_dir=str(folder),
        log_format="json",
        log_level="debug",
        deadline_ms="5000",
    )
    program.start()
    try:
        yield Logging(port, folder / "backend.log")
    finally:
        program.stop()


def test_lines_of_a_call_carry_its_id(server: Logging) -> None:
    headers = {"x-request-id": "mine-1"}
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
        http.post("/detect", files={"file": encoded(grey(9))}, headers=headers)
        http.get("/metrics")
    line = server.wait_for("request")
    assert line["request_id"] == "mine-1"
    assert (line["method"], line["path"], line["status"]) == ("POST", "/detect", 200)
    assert {found["path"] for found in server.lines("request")} == {"/detect"}


async def test_lines_of_a_stream_carry_its_id_and_tell_in_the_end_what_became_of_its_frames(
    server: Logging,
) -> None:
    async with connected(f"ws://127.0.0.1:{server.port}/ws/detect") as camera:
        await camera.detect(1, encoded(grey(9)))
        await camera.send(2, b"no picture")
        await camera.recv()
        await camera.send(3, encoded(grey(9)), age_ms=60_000)
        assert await camera.recv() == wire.Dropped(3, "late")
        stream = camera.hello.stream
    closed = await asyncio.to_thread(server.wait_for, "stream closed", stream=stream)
    ours = {line["event"]: line for line in server.lines() if line.get("stream") == stream}
    assert len(stream) == 24
    counts = {name: closed[name] for name in ("answered", "dropped", "refused", "failed")}
    assert counts == {"answered": 1, "dropped": 1, "refused": 1, "failed": 0}
    assert ours["stream opened"]["model"] == "sightline-webcam"
    assert ours["frame slow"]["frame"] == wire.frame_id(stream, 1)
    assert ours["frame slow"]["total_ms"] >= ours["frame slow"]["infer_ms"] > 0
    assert ours["frame refused"]["code"] == "unsupported_format"
    assert ours["frame refused"]["frame"] == wire.frame_id(stream, 2)
    assert ours["frame late"]["seq"] == 3
    assert ours["frame late"]["age_ms"] >= 60_000
    assert "request_id" not in closed


async def test_frames_that_go_wrong_without_end_are_a_few_lines(server: Logging) -> None:
    async with connected(f"ws://127.0.0.1:{server.port}/ws/detect") as camera:
        for seq in range(100):
            await camera.send(seq, b"no picture")
            await camera.recv()
        stream = camera.hello.stream
    closed = await asyncio.to_thread(server.wait_for, "stream closed", stream=stream)
    lines = [line for line in server.lines("frame refused") if line["stream"] == stream]
    assert 1 <= len(lines) <= 20
    assert closed["refused"] == 100
    assert sum(line.get("left_out", 0) for line in [*lines, closed]) + len(lines) == 100


def test_neither_paths_nor_file_names_forge_a_line(server: Logging) -> None:
    address = f"http://127.0.0.1:{server.port}"
    before = len(server.lines())
    with httpx.Client(trust_env=False) as http:
        http.get(f"{address}/nothing%0A%7B%22event%22:%22all is lost%22%7D%1B[2J" + "x" * 5000)
        last = {"x-request-id": "mine-2"}
        http.post(f"{address}/detect", files={"file": ("evil\n.jpg", b"nothing")}, headers=last)
    server.wait_for("request", request_id="mine-2")  # written once the answer is out
    found = server.lines()[before:]
    text = server.log.read_text()
    assert [line["event"] for line in found] == ["request", "request"]
    assert found[0]["path"].startswith("/nothing\n{")
    assert len(found[0]["path"]) == 200
    assert "\x1b" not in text
    assert "evil" not in text, "names of uploaded files are nobody's business"
    assert "127.0.0.1" not in "".join(map(str, found)), "nor are callers' addresses"


async def test_a_worker_process_writes_the_same_lines_and_names_its_model(
    capfd: pytest.CaptureFixture[str],
) -> None:
    spec = recognise(shipped_model())
    options = EngineOptions("onnxruntime", "cpu", 1, LogOptions("info", "json"))
    runner = ProcessRunner(spec, options, PictureLimits(), 1)
    try:
        await runner.start(None)
        assert await runner._link.ask([("nonsense",)]) is None
    finally:
        await runner.close()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    line = next(line for line in lines if line["event"] == "a batch of 1 failed")
    assert (line["model"], line["level"]) == (spec.name, "error")
    assert "Traceback" in line["exception"]
