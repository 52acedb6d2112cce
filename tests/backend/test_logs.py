"""Log lines for people and for machines, with neither pictures nor locals in them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from sightline_backend.logs import LogOptions, configure, configure_logs
from sightline_backend.settings import Settings


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def logged(format_: Literal["console", "json"], capsys: pytest.CaptureFixture[str]) -> str:
    """Log one line of ours, one of a library, one too many and a traceback."""
    configure_logs(Settings(log_format=format_))
    structlog.get_logger("sightline").info("stream opened", streams=2)
    logging.getLogger("library").warning("low on %s", "disk")
    logging.getLogger("uvicorn.error").info("chatter")
    secret = "a picture" * 100
    try:
        raise ValueError(len(secret))
    except ValueError:
        structlog.get_logger("sightline").exception("a batch failed")
    return capsys.readouterr().err


def test_json_lines_are_one_object_each(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in logged("json", capsys).splitlines()]
    assert [line["event"] for line in lines] == ["stream opened", "low on disk", "a batch failed"]
    assert lines[0]["streams"] == 2
    assert lines[0]["level"] == "info"
    assert "ValueError: 900" in lines[2]["exception"]
    assert all("timestamp" in line for line in lines)


def test_console_lines_are_plain_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = logged("console", capsys)
    assert "stream opened" in text
    assert "low on disk" in text
    assert "chatter" not in text
    assert "ValueError: 900" in text
    assert "a picturea picture" not in text, "a traceback shows no locals"
    assert "\x1b[" not in text


FORGED = {
    "plain": "street.jpg",
    "a line": "a\n2026 [error] all is lost",
    "a colour": "\x1b[2Jgone",
    "a separator": "a\u2028b",
    "right to left": "a\u202eb",
    "half a letter": "\ud800",
}


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("format_", ["console", "json"])
def test_what_a_caller_wrote_forges_no_line(
    format_: Literal["console", "json"], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(Settings(log_format=format_))
    structlog.get_logger("sightline").info("request", path=text)
    logging.getLogger("library").warning("odd: %s", text)
    written = capsys.readouterr().err
    assert written.count("\n") == 2
    if "\n" not in text:  # those of an exception's message stay among a traceback's
        try:
            raise ValueError(text)
        except ValueError:
            structlog.get_logger("sightline").exception("failed")
        written += capsys.readouterr().err
    assert all(char.isprintable() or char == "\n" for char in written)
    assert ("street.jpg" in written) is (text == "street.jpg")


def test_lines_of_a_worker_name_its_model_whichever_thread_writes_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(LogOptions("info", "json"), model="street")
    thread = threading.Thread(target=lambda: logging.getLogger("library").error("lost"))
    thread.start()
    thread.join()
    assert json.loads(capsys.readouterr().err)["model"] == "street"


def test_a_level_is_kept_for_ours_and_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogOptions("warning", "json"))
    structlog.get_logger("sightline").info("chatter")
    logging.getLogger("library").info("chatter")
    assert capsys.readouterr().err == ""
