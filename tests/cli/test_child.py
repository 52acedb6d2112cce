"""A program that is run: its lines, its end, and its whole group."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from sightline_backend.cli import child
from sightline_backend.cli.child import KEPT_LINES, Child


async def started(code: str, on_line: Callable[[str], None] = lambda _: None) -> Child:
    """Run some Python as a child."""
    command = [sys.executable, "-u", "-c", code]
    return await child.start(
        "backend", command, env={}, cwd=Path.cwd(), on_line=lambda _, line: on_line(line)
    )


async def started_and_heard(code: str) -> tuple[Child, str]:
    """Run some Python and wait for its first line."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    program = await started(code, lines.put_nowait)
    return program, await lines.get()


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        pytest.param("pass", [], id="nothing"),
        pytest.param("print('a'); print('b', end='')", ["a", "b"], id="a last line without an end"),
        pytest.param("print(); print('  '); print(' a ')", [" a"], id="empty lines"),
        pytest.param("import sys; sys.stderr.write('bad')", ["bad"], id="standard error"),
        pytest.param("import os; os.write(1, b'\\xff\\n')", ["\ufffd"], id="no text"),
        pytest.param("print('x' * 5000)", ["x" * 4000], id="a line too long"),
    ],
)
async def test_lines_come_one_by_one(code: str, lines: list[str]) -> None:
    seen: list[str] = []
    program = await started(code, seen.append)
    assert await program.ended() == 0
    assert seen == lines
    assert list(program.tail) == lines


async def test_only_the_last_lines_are_kept() -> None:
    program = await started("for i in range(100): print(i)")
    await program.ended()
    assert list(program.tail) == [str(i) for i in range(100 - KEPT_LINES, 100)]


async def test_a_stop_ends_what_the_program_started_too() -> None:
    program, first = await started_and_heard(
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(p.pid)\n"
        "time.sleep(60)"
    )
    grandchild = psutil.Process(int(first))
    await program.stop(patience_s=5)
    psutil.wait_procs([grandchild], timeout=5)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


async def test_a_program_that_ignores_the_request_is_made_to_end() -> None:
    program, _ = await started_and_heard(
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf')\n"
        "time.sleep(60)"
    )
    await program.stop(patience_s=0.1)
    assert program.process.returncode == -9


async def test_stopping_what_has_ended_is_fine() -> None:
    program = await started("pass")
    await program.ended()
    await program.stop(patience_s=1)
