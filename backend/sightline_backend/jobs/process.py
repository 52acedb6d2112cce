"""The process of one job, seen from its supervisor: started, listened to, and ended for sure."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from sightline_backend.jobs.child import OUT_OF_MEMORY
from sightline_backend.jobs.leftovers import MARK, kill_left
from sightline_backend.jobs.priority import memory_kills
from sightline_backend.store.texts import clean

GRACE_S = 3.0  # between SIGTERM and SIGKILL
LAST_S = 4.0  # for the guard to kill what is left; then it is killed itself
CHUNK = 2**16
PAUSE_S = 0.02  # after a full chunk: a job that floods us costs the event loop no more than this
MOST_REPORT_BYTES = 32 * 2**20  # of one message
LONGEST_LINE = 2000
_SECRETS = ("SIGHTLINE_DATABASE_URL", "SIGHTLINE_ADMIN_TOKEN")


class Listener(Protocol):
    """Is told what a job's process says; on the event loop, so it must not block."""

    def progress(self, share: float, doing: str) -> None: ...

    def partial(self, result: dict[str, Any]) -> None: ...

    def line(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a process: a result, or an error."""

    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @classmethod
    def failed(cls, code: str, message: str) -> Outcome:
        """Return a failure."""
        return cls(error={"code": code, "message": message})


class BadReportError(Exception):
    """The process sent what isn't a message."""


async def run_child(order: Mapping[str, Any], listener: Listener, limit_s: float) -> Outcome:
    """Run a job's process to its end; when cancelled nothing of it is left.

    Returns an Outcome whatever the process does.
    """
    kills, mark = memory_kills(), secrets.token_hex(16)
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "sightline_backend.jobs.child", str(writing)),
            pass_fds=(writing,),
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            limit=CHUNK,
            start_new_session=True,
            env={**_environment(), MARK: mark},
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    reports = asyncio.StreamReader(limit=CHUNK)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reports), os.fdopen(reading, "rb")
    )
    told = asyncio.create_task(_messages(reports, listener))
    lines = asyncio.create_task(_lines(process, listener))
    try:
        async with asyncio.timeout(limit_s):
            _give(process, order)
            outcome = await told
            status = await _ended(process)
    except TimeoutError:
        return Outcome.failed(
            "timeout",
            f"The job was ended after {limit_s:g} s, the longest that one may take; "
            "SIGHTLINE_JOB_TIMEOUT_S allows more.",
        )
    except BadReportError as error:
        return Outcome.failed("internal", f"The job's process was ended: {error}.")
    finally:
        await _end(process)
        if process.returncode is None or process.returncode < 0:  # its guard was killed
            await asyncio.to_thread(kill_left, process.pid, mark)
        await _finish(lines)
        told.cancel()
        transport.close()
    return outcome or Outcome.failed(*_how_it_ended(status, kills))


def _environment() -> dict[str, str]:
    """Return our environment without what a job need not know."""
    inherited = os.environ  # noqa: TID251  a child gets what we were given
    return {name: value for name, value in inherited.items() if name not in _SECRETS}


def _give(process: Process, order: Mapping[str, Any]) -> None:
    """Say what to do; stdin stays open, as its end tells the process that we are gone."""
    assert process.stdin is not None  # noqa: S101  asked for
    process.stdin.write(json.dumps(order).encode() + b"\n")


async def _messages(stream: asyncio.StreamReader, listener: Listener) -> Outcome | None:
    """Hand messages on until the last one; None if the process ended without."""
    rest = bytearray()
    while chunk := await stream.read(CHUNK):
        rest += chunk
        if len(rest) > MOST_REPORT_BYTES:
            raise BadReportError("it sent a message of more than 32 MB")
        lines: list[bytearray] = []
        if b"\n" in chunk:  # a large message comes in many chunks: it is split once
            *lines, rest = rest.split(b"\n")
        for line in lines:
            outcome = _handed_on(bytes(line), listener)
            if outcome is not None:
                return outcome
        if len(chunk) == CHUNK:
            await asyncio.sleep(PAUSE_S)
    return None


def _handed_on(line: bytes, listener: Listener) -> Outcome | None:
    try:
        match json.loads(line):
            case {"progress": [int() | float() as share, str() as doing]}:
                listener.progress(min(1.0, max(0.0, float(share))), clean(doing, LONGEST_LINE))
            case {"partial": dict() as result}:
                listener.partial(result)
            case {"result": dict() as result}:
                return Outcome(result=result)
            case {"error": {"code": str() as code, "message": str() as message}}:
                return Outcome.failed(code, message)
            case _:
                raise BadReportError(f"it sent {line[:60]!r}, which is no message")
    except (ValueError, RecursionError) as error:
        raise BadReportError(f"it sent {line[:60]!r}, which is no message") from error
    return None


async def _lines(process: Process, listener: Listener) -> None:
    """Hand on what is printed, line by line, no faster than the event loop can afford."""
    assert process.stdout is not None  # noqa: S101  asked for
    rest = b""
    while chunk := await process.stdout.read(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        for line in lines:
            _say(line, listener)
        if len(chunk) == CHUNK:
            await asyncio.sleep(PAUSE_S)
    _say(rest, listener)


def _say(line: bytes, listener: Listener) -> None:
    text = line[:LONGEST_LINE].decode(errors="replace").rsplit("\r", 1)[-1].rstrip()
    if text:
        listener.line(text)


async def _ended(process: Process) -> int:
    """Wait for the end of a process that has said its last word, or closed its pipe."""
    try:
        async with asyncio.timeout(GRACE_S):
            return await process.wait()
    except TimeoutError:  # something of it still runs; `_end` ends it
        return 0


async def _end(process: Process) -> None:
    """End the job: ask, then have its guard kill everything, then kill the guard."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        await _wait(process, GRACE_S)
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is None:
        await _wait(process, LAST_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await _wait(process, LAST_S)


async def _wait(process: Process, patience_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            await process.wait()


async def _finish(lines: asyncio.Task[None]) -> None:
    """Read the last lines; a pipe that somebody still holds open is left."""
    await asyncio.wait([lines], timeout=1.0)
    lines.cancel()


def _how_it_ended(status: int, kills_before: int | None) -> tuple[str, str]:
    """Return code and message for a process that left without a word."""
    if status <= 128:
        said = f"it ended with status {status}" if status >= 0 else f"signal {-status}"
        return "internal", f"The job's process gave no result: {said}; its log may say why."
    number = status - 128
    if number == signal.SIGKILL:
        kills = memory_kills()
        if kills is not None and kills != kills_before:
            return "out_of_memory", f"{OUT_OF_MEMORY} The system killed it."
        return "internal", "The job's process was killed by someone, or for lack of memory."
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return "internal", f"The job's process crashed ({name}); its log may say more."
