"""A program that `sightline up` runs: its output line by line, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

KEPT_LINES = 30  # shown when the program dies
_LONGEST_LINE = 4000

OnLine = Callable[[str, str], None]  # the child's name, the line


@dataclass(frozen=True, slots=True, eq=False)
class Child:
    """A running program in a process group of its own, so that Ctrl-C reaches only us."""

    name: str
    process: asyncio.subprocess.Process
    tail: deque[str]
    reading: asyncio.Task[None]

    async def ended(self) -> int:
        """Wait for the end and the last line; return the exit status."""
        status = await self.process.wait()
        with suppress(TimeoutError):  # a grandchild may hold the pipe open
            await asyncio.wait_for(asyncio.shield(self.reading), 2)
        return status

    async def stop(self, patience_s: float) -> None:
        """Ask the whole group to end, then make it."""
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), patience_s)
        except TimeoutError:
            pass
        finally:
            self.kill()  # or what the program left running of its own
            self.reading.cancel()
        await self.process.wait()

    def kill(self) -> None:
        """End the whole group at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS: a zombie refuses
            os.killpg(self.process.pid, number)


async def start(
    name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, on_line: OnLine
) -> Child:
    """Start a program; each line it writes goes to `on_line` and into its tail."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=dict(env),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101  asked for above
    tail: deque[str] = deque(maxlen=KEPT_LINES)
    reading = asyncio.create_task(_read(name, process.stdout, tail, on_line))
    return Child(name, process, tail, reading)


async def _read(name: str, stream: asyncio.StreamReader, tail: deque[str], on_line: OnLine) -> None:
    """Split the output into lines, cutting those without an end."""
    rest = b""
    while chunk := await stream.read(2**16):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        for line in lines:
            _hand_on(name, line, tail, on_line)
    if rest:
        _hand_on(name, rest, tail, on_line)


def _hand_on(name: str, line: bytes, tail: deque[str], on_line: OnLine) -> None:
    text = line[:_LONGEST_LINE].decode(errors="replace").rstrip()
    if text:
        tail.append(text)
        on_line(name, text)
