"""Whose turn it is on a device: one job at a time, in this process and in all others."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

LOOK_EVERY_S = 0.5  # whether another process has finished


class Turns:
    """A line before each device; first come, first served, whichever process a job is of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._busy: set[str] = set()
        self._waiting: dict[int, frozenset[str]] = {}
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def on(
        self, job_id: int, devices: Collection[str], is_next: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[None]:
        """Wait for all of a job's devices, and keep them during the block.

        `is_next` tells whether no older job of another process waits for one of them.
        """
        mine = frozenset(devices)
        with ExitStack() as held:
            self._waiting[job_id] = mine
            try:
                freed = self._freed
                while not await self._taken(job_id, mine, is_next, held):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_EVERY_S):
                            await freed.wait()
                    freed = self._freed
                self._busy |= mine
            finally:
                del self._waiting[job_id]
                self._wake()
            try:
                yield
            finally:
                held.close()
                self._busy -= mine
                self._wake()

    async def _taken(
        self,
        job_id: int,
        mine: frozenset[str],
        is_next: Callable[[], Awaitable[bool]],
        held: ExitStack,
    ) -> bool:
        """Take all of the devices if it is the job's turn and all are free."""
        if any(other < job_id and theirs & mine for other, theirs in self._waiting.items()):
            return False
        if self._busy & mine or not await is_next() or self._busy & mine:
            return False
        with ExitStack() as locks:
            for device in sorted(mine):
                name = "".join(c if c.isalnum() else "-" for c in device)
                file = locks.enter_context((self._folder / f".device-{name}").open("ab"))
                if not _locked(file):
                    return False
            held.enter_context(locks.pop_all())
        return True

    def _wake(self) -> None:
        """Have all that wait look at once."""
        self._freed.set()
        self._freed = asyncio.Event()


def _locked(file: IO[bytes]) -> bool:
    """Lock the file if nobody else has; the lock ends when it is closed."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
