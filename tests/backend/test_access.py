"""Ids and log lines of HTTP calls."""

from __future__ import annotations

import re
from typing import Any

import pytest
from structlog.testing import capture_logs

from sightline_backend.pool import EnginePool
from tests.backend.running import running
from tests.fakes import encoded, grey

HEX_32 = re.compile(r"[0-9a-f]{32}")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def requests(lines: list[Any]) -> list[dict[str, Any]]:
    return [dict(line) for line in lines if line["event"] == "request"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"x-request-id": ""}, None),
        ({"x-request-id": "a"}, "a"),
        ({"x-request-id": "01JD-Order_7.b"}, "01JD-Order_7.b"),
        ({"x-request-id": "x" * 64}, "x" * 64),
        ({"x-request-id": "x" * 65}, None),
        ({"x-request-id": "two words"}, None),
        ({"x-request-id": "a\x1b[2Jb"}, None),
        ({"x-request-id": "level=error"}, None),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-00"}, TRACE),
        ({"x-request-id": "mine", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-00"}, "mine"),
        ({"x-request-id": '{"a":1}', "traceparent": "garbage"}, None),
    ],
)
async def test_a_call_keeps_a_well_formed_id_and_else_gets_one(
    headers: dict[str, str], expected: str | None
) -> None:
    async with running() as backend:
        found = (await backend.http.get("/health", headers=headers)).headers["x-request-id"]
    assert found == expected if expected else HEX_32.fullmatch(found)


async def test_each_call_is_one_line_and_scrapes_are_none() -> None:
    with capture_logs() as lines:
        async with running() as backend:
            await backend.http.get("/health/ready")
            await backend.http.get("/metrics")
            await backend.http.get("/api/models")
            await backend.detect(encoded(grey(1)))
            await backend.detect(b"no picture")
    assert [(r["log_level"], r["method"], r["path"], r["status"]) for r in requests(lines)] == [
        ("debug", "GET", "/api/models", 200),
        ("info", "POST", "/detect", 200),
        ("info", "POST", "/detect", 415),
    ]
    assert all(r["ms"] >= 0 for r in requests(lines))


async def test_only_reads_of_the_probes_that_work_are_silent() -> None:
    with capture_logs() as lines:
        async with running() as backend:
            for path in ("/metrics", "/health", "/health/live", "/health/ready"):
                assert (await backend.http.get(path)).is_success
            await backend.http.post("/metrics")
            await backend.http.get("/health-check-scan")
            backend.service.sessions.stopping = True
            await backend.http.get("/health/ready")
    assert [(r["method"], r["path"], r["status"]) for r in requests(lines)] == [
        ("POST", "/metrics", 405),
        ("GET", "/health-check-scan", 404),
        ("GET", "/health/ready", 503),
    ]


async def test_a_bug_is_logged_at_warning_and_answered_with_the_calls_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(_: object) -> None:
        raise ZeroDivisionError("secret")

    with capture_logs() as lines:
        async with running() as backend:
            monkeypatch.setattr(EnginePool, "specs", broken)
            answer = await backend.http.get("/api/models", headers={"x-request-id": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "mine")
    assert "secret" not in answer.text
    assert [(r["log_level"], r["status"]) for r in requests(lines)] == [("warning", 500)]
