"""One thread for whatever may hang while it is read: drivers, disks, the system's own tables."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

T = TypeVar("T")

LIMIT_S = 8.0  # less than Prometheus waits for a scrape
MOST_WAITING = 16


class Reader:
    """Reads one thing at a time, on a thread that keeps neither a frame nor the end waiting.

    The pools of threads that uploads use would lose a thread to every reading that hangs.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, ask: Callable[[], T]) -> T:
        """Return what `ask` returns; raises TimeoutError when it, or one before it, hangs."""
        if self._jobs.qsize() >= MOST_WAITING:
            raise TimeoutError
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            if answer.cancelled():  # nobody waits for it any more
                return
            try:
                tell = partial(answer.set_result, ask())
            except Exception as error:  # its place is where it was asked for
                tell = partial(answer.set_exception, error)
            with suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(lambda: None if answer.done() else tell())

        self._jobs.put(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="reader", daemon=True)
            self._thread.start()
        async with asyncio.timeout(LIMIT_S):
            return await answer

    def close(self) -> None:
        """Let the thread end once nothing is asked for any more; a reading that hangs stays."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
