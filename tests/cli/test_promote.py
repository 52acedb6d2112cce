"""`sightline models promote`, `rollback`, `shadow`: whom they ask, and what they say of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.running import free_port

SERVED = {"precision": "int8", "engine": "openvino", "device": "cpu"}


@pytest.fixture
def change() -> dict[str, Any]:
    """Return what the server answers, to be changed."""
    about = {"model": "cars", "artefact_id": 3, "seconds": 0.4, "accuracy_loss": None}
    return {**about, "served": SERVED}


@pytest.fixture
def port(change: dict[str, Any]) -> Iterator[int]:
    """Return the port of a server that answers every call with the change."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(change).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (None, "isn't known"),
        (0.0, "loses no accuracy"),
        (0.00004, "loses no accuracy"),
        (0.0038, "loses 0.0038 mAP50-95"),
        (-0.0038, "gains 0.0038 mAP50-95"),
    ],
)
def test_a_promotion_says_what_it_loses_or_gains(
    run: Run, port: int, change: dict[str, Any], loss: float | None, said: str
) -> None:
    change["accuracy_loss"] = loss
    promoted = run("models", "promote", "cars", "--artefact", "3", "--backend-port", port)
    assert promoted.exit_code == 0, promoted.stderr
    assert said in promoted.stdout


def test_a_rollback_says_nothing_of_what_it_did_not_compare(
    run: Run, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKEND_PORT", str(port))  # as `make run` was given it
    rolled_back = run("models", "rollback", "cars")
    assert rolled_back.exit_code == 0, rolled_back.stderr
    assert rolled_back.stdout.endswith("after 0.4 s.\n")


@pytest.mark.parametrize("command", [["rollback"], ["shadow"], ["promote", "--artefact", "3"]])
def test_where_no_server_answers_the_way_to_one_is_named(run: Run, command: list[str]) -> None:
    refused = run("models", *command, "cars", "--url", f"http://127.0.0.1:{free_port()}")
    assert refused.exit_code == 1
    assert "--url" in refused.stderr
    assert "BACKEND_PORT" in refused.stderr
