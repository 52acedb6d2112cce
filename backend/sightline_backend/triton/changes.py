"""Changes at Triton: they take minutes, so they run one at a time and hold nothing else up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from sightline_backend.errors import NotPossibleError

T = TypeVar("T")

MOST_WAITING = 8
STOP_S = 10.0  # for what is under way when the server stops


class Changes:
    """Runs one change after the other, each on a thread that the server's end doesn't wait for."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._closing = False
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def busy(self) -> bool:
        """Whether a change is under way or waits."""
        return self._waiting > 0

    async def run(self, change: Callable[[], T]) -> T:
        """Return what `change` returns; it goes on to its end even if nobody waits for it.

        Raises NotPossibleError when too many wait already.
        """
        if self._waiting >= MOST_WAITING:
            raise NotPossibleError(
                "Too many changes wait for Triton already. Try again when they are done."
            )
        task = asyncio.create_task(self._in_turn(change))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give what is under way a moment, then let go of it.

        A deployment that needs longer fails as its connection ends: its files stay, and Triton has
        the new or the old, whichever the last step was; the watch of the next start sees to it.
        """
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)
        for task in tuple(self._tasks):
            task.cancel()

    async def _in_turn(self, change: Callable[[], T]) -> T:
        self._waiting += 1
        try:
            async with self._lock:
                if self._closing:
                    raise NotPossibleError("The server stops; nothing is changed at Triton now.")
                return await _on_thread(change)
        finally:
            self._waiting -= 1


async def _on_thread(work: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            tell = partial(answer.set_result, work())
        except BaseException as error:  # its place is where it was asked for
            tell = partial(answer.set_exception, error)
        with suppress(RuntimeError):  # the loop has closed meanwhile
            loop.call_soon_threadsafe(lambda: None if answer.done() else tell())

    threading.Thread(target=run, name="triton change", daemon=True).start()
    return await answer
