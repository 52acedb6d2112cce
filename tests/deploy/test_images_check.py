"""The parts of `make images-check` that need no engine, and the health check inside the images."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from deploy.images_check.stack import CheckFailed, free_ports, run, until
from deploy.images_check.walls import open_walls, published
from tests.conftest import ROOT

SHUT: dict[str, Any] = {
    "Config": {"User": "10001:10001"},
    "HostConfig": {
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "CapAdd": None,
        "SecurityOpt": ["no-new-privileges:true"],
        "Memory": 2**30,
        "PidsLimit": 64,
        "Privileged": False,
        "NetworkMode": "sightline_front",
        "PortBindings": {},
    },
}


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Run a server whose every answer has this status, and yield its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def answers(port: int) -> int:
    """Run the images' health check and return its exit status."""
    command = [sys.executable, str(ROOT / "deploy" / "answers.py"), str(port), "/health/ready"]
    return subprocess.run(command, check=False).returncode


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (204, 0), (404, 1), (503, 1)])
def test_a_container_is_healthy_when_its_program_says_so(status: int, expected: int) -> None:
    with answering(status) as port:
        assert answers(port) == expected


def test_a_container_that_does_not_listen_is_not_healthy() -> None:
    assert answers(free_ports(1)[0]) == 1


def test_a_container_that_is_shut_off_has_no_open_walls() -> None:
    assert list(open_walls(SHUT)) == []


@pytest.mark.parametrize(
    ("part", "name", "value", "said"),
    [
        ("Config", "User", "", "runs as root"),
        ("Config", "User", "0:0", "runs as root"),
        ("HostConfig", "ReadonlyRootfs", False, "its root can be written"),
        ("HostConfig", "CapDrop", None, "has capabilities"),
        ("HostConfig", "CapAdd", ["SYS_ADMIN"], "has capabilities"),
        ("HostConfig", "SecurityOpt", None, "may gain privileges"),
        ("HostConfig", "Memory", 0, "has no limit"),
        ("HostConfig", "PidsLimit", None, "has no limit"),
        ("HostConfig", "Privileged", True, "is not shut off"),
        ("HostConfig", "NetworkMode", "host", "is not shut off"),
    ],
)
def test_an_open_wall_is_named(part: str, name: str, value: object, said: str) -> None:
    found = copy.deepcopy(SHUT)
    found[part][name] = value
    (problem,) = open_walls(found)
    assert said in problem


@pytest.mark.parametrize(
    ("service", "host", "said"),
    [
        ("backend", "127.0.0.1", None),
        ("backend", "0.0.0.0", "beyond this machine"),
        ("prometheus", "127.0.0.1", "is published"),
    ],
)
def test_a_port_that_should_not_be_published_is_named(
    service: str, host: str, said: str | None
) -> None:
    found = copy.deepcopy(SHUT)
    found["HostConfig"]["PortBindings"] = {"8000/tcp": [{"HostIp": host, "HostPort": "8000"}]}
    problems = " ".join(published(service, found))
    assert (said in problems) if said else not problems


def test_a_program_that_fails_is_reported_with_what_it_said() -> None:
    with pytest.raises(CheckFailed, match="ended with 3: no such thing"):
        run([sys.executable, "-c", "import sys; print('no such thing', file=sys.stderr); exit(3)"])


def test_waiting_ends_with_the_answer_or_with_what_was_waited_for() -> None:
    answers_ = iter([None, "there"])
    assert until("something", 5, lambda: next(answers_)) == "there"
    with pytest.raises(CheckFailed, match="something: not within 0 s"):
        until("something", 0, lambda: None)


def test_the_ports_it_takes_are_different() -> None:
    assert len(set(free_ports(3))) == 3
