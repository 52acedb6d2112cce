"""A peer's server is started, watched and ended as a tree of processes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest

from benchmarks.load.account import Account
from benchmarks.load.http1 import post_request
from benchmarks.peers.harness import measure as measuring
from benchmarks.peers.harness.catalogue import PEERS, Peer, Setting
from benchmarks.peers.harness.commands import Conditions
from benchmarks.peers.harness.environment import PeerError, own_environment
from benchmarks.peers.harness.loads import Load
from benchmarks.peers.harness.measure import Trial, measure
from benchmarks.peers.harness.server import Server
from benchmarks.peers.onethread import OneThread
from sightline_engines.assets import shipped_model
from sightline_engines.picture import encode_jpeg
from tests.conftest import missing
from tests.frontend.fake_backend import free_port

# a server in two processes, as most peers are: the parent only waits
PROGRAM = """
import http.server, multiprocessing, sys
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        sum(range(300_000))
        body = b'{"detections": [{"class_id": 0}]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
def serve():
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
if __name__ == "__main__":
    child = multiprocessing.Process(target=serve)
    child.start()
    child.join()
"""


@pytest.fixture(autouse=True)
def _two_cores() -> None:
    if not shutil.which("taskset") or (os.cpu_count() or 1) < 2:
        missing("taskset and two processor cores")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(tmp_path: Path, port: int) -> Iterator[Server]:
    program = tmp_path / "server.py"
    program.write_text(PROGRAM)
    with Server([sys.executable, str(program), str(port)], {}, 0, tmp_path / "log") as server:
        yield server


def request(port: int) -> bytes:
    return post_request(urlsplit(f"http://127.0.0.1:{port}/detect"), b"jpeg", None)


def tree(server: Server) -> list[psutil.Process]:
    assert server.process is not None
    parent = psutil.Process(server.process.pid)
    return [parent, *parent.children(recursive=True)]


def test_a_server_answers_on_its_core_and_is_measured_with_its_children(
    server: Server, port: int
) -> None:
    assert b"class_id" in server.wait_for_answer(port, request(port))
    server.hold()
    running = tree(server)
    assert len(running) > 1
    assert {core for one in running for core in one.cpu_affinity() or ()} == {0}
    before_s = server.cpu_s()
    for _ in range(20):
        server.wait_for_answer(port, request(port))
    assert server.cpu_s() > before_s > 0
    assert server.memory_mb() > 1
    assert server.wait_until_idle()


def test_nothing_of_a_server_is_left_when_it_is_stopped(server: Server, port: int) -> None:
    server.wait_for_answer(port, request(port))
    running = tree(server)
    server.stop()
    server.stop()
    assert not any(one.is_running() and one.status() != "zombie" for one in running)


def test_a_server_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path, port: int) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with (
        Server(command, {}, 0, tmp_path / "log") as server,
        pytest.raises(PeerError, match="no such model"),
    ):
        server.wait_for_answer(port, request(port))


def test_a_peer_is_put_under_every_load_and_a_broken_one_under_none(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "server.py"
    program.write_text(PROGRAM)
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "000.jpg").write_bytes(encode_jpeg(np.zeros((8, 8, 3), np.uint8), 80))
    works, breaks = Setting("works", "works"), Setting("breaks", "breaks")
    peer = Peer("fake", "Fake", (), (works, breaks), raw=True)
    conditions = Conditions(tmp_path, None, frames, 500, 400, 1, 0.2, 0, 1, port)
    commands = {
        "works": [sys.executable, str(program), str(port)],
        "breaks": [sys.executable, "-c", "raise SystemExit('no such model')"],
    }
    monkeypatch.setattr(
        measuring, "server_command", lambda _peer, setting, *_: (commands[setting.name], {})
    )
    loads = (Load("one stream", (5.0,)), Load("two", (5.0, 5.0)))
    rows = [
        row
        for setting in peer.settings
        for row in measure(
            Trial(peer, setting, own_environment(), conditions, tmp_path / "log"), loads
        )
    ]
    assert [(row.setting, row.load, bool(row.failure)) for row in rows] == [
        ("works", "one stream", False),
        ("works", "two", False),
        ("breaks", "one stream", True),
        ("breaks", "two", True),
    ]
    for row in rows[:2]:
        assert row.answered
        assert not row.errors
        assert row.cpu_ms
    assert all("no such model" in row.failure for row in rows[2:])


def test_a_peer_that_makes_its_own_load_gives_its_own_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = next(peer for peer in PEERS if peer.kind == "in process")
    book = Account((5.0,), 0.5)
    book.offer(0, 0.0)
    book.answer(0, 0, 0.1)
    report = book.close(0.0, 1.0)
    write = "import os, pathlib; pathlib.Path(os.environ['PEER_OUT']).write_text"
    program = f"{write}({report.to_json()!r})"
    monkeypatch.setattr(
        measuring, "server_command", lambda *_: ([sys.executable, "-c", program], {})
    )
    conditions = Conditions(tmp_path, None, tmp_path, 500, 400, 1, 0.2, 0, 1, 1)
    trial = Trial(peer, peer.settings[0], own_environment(), conditions, tmp_path / "log")
    (row,) = measure(trial, (Load("one stream", (5.0,)),))
    assert (row.failure, row.answered) == ("", report.answered)


def test_a_peers_own_session_runs_in_one_thread() -> None:
    session = OneThread(str(shipped_model()), providers=["CPUExecutionProvider"])
    assert session.get_session_options().intra_op_num_threads == 1
