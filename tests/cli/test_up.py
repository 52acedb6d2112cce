"""`sightline up` as a person meets it: started, watched, stopped, and what goes wrong."""

from __future__ import annotations

import signal
import socket

import pytest

from tests.cli.running import SIGHTLINE, running


@pytest.mark.slow
def test_both_answer_where_it_says_and_ctrl_c_leaves_no_process() -> None:
    with running() as stack:
        stack.wait_until_announced()
        assert f"http://localhost:{stack.frontend_port}" in stack.said
        health = stack.get(stack.backend_port, "/health").json()
        assert health["ready"]
        assert health["model"] in stack.said
        assert health["engine"] in stack.said
        assert stack.get(stack.frontend_port, "/_stcore/health").text == "ok"
        stack.ctrl_c()
        assert stack.wait() == 0
        assert stack.left_over() == []


@pytest.mark.slow
def test_make_run_ends_cleanly_on_ctrl_c_too() -> None:
    # -o install: what is installed is not looked at again
    with running(("make", "-o", "install", "run")) as stack:
        stack.wait_until_announced()
        stack.ctrl_c()
        stack.wait()
        assert stack.left_over() == []
        assert "Traceback" not in stack.said


@pytest.mark.slow
@pytest.mark.parametrize("program", ["sightline_backend", "streamlit"])
def test_when_one_dies_it_says_so_and_stops_the_other(program: str) -> None:
    with running() as stack:
        stack.wait_until_announced()
        victim = stack.child(f"-m {program}")
        victim.send_signal(signal.SIGKILL)
        assert stack.wait() == 1
        assert "ended by itself, by SIGKILL" in stack.said
        assert stack.left_over() == []


@pytest.mark.slow
def test_a_terminating_service_manager_is_obeyed() -> None:
    with running() as stack:
        stack.wait_until_announced()
        stack.process.terminate()
        assert stack.wait() == 0
        assert stack.left_over() == []


def test_a_start_that_fails_shows_why_and_ends_with_status_1() -> None:
    with running((*SIGHTLINE, "up", "--model", "no-such-model")) as stack:
        assert stack.wait() == 1
    assert "no-such-model" in stack.said
    assert "The backend ended by itself" in stack.said


@pytest.mark.parametrize("variable", ["BACKEND_PORT", "FRONTEND_PORT"])
def test_a_taken_port_is_named_with_who_has_it_and_how_to_move(variable: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with running(**{variable: str(port)}) as stack:
            assert stack.wait() == 1
    said = " ".join(stack.said.split())
    assert f"Port {port} is taken by" in said
    assert f"{variable}=" in said
    assert "Stopping" not in said


def test_one_port_for_both_is_refused() -> None:
    with running((*SIGHTLINE, "up", "--backend-port", "8123", "--frontend-port", "8123")) as stack:
        assert stack.wait() == 1
    assert "BACKEND_PORT or FRONTEND_PORT" in stack.said


def test_a_wrong_setting_is_named() -> None:
    with running(SIGHTLINE_MAX_BATCH="many") as stack:
        assert stack.wait() == 1
    assert "SIGHTLINE_MAX_BATCH" in stack.said
    assert "Traceback" not in stack.said
