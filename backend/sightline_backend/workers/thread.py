"""An engine in a thread of this process: the simplest runner, and no shield against crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sightline_backend.batch import BatchRun, Work
from sightline_backend.measure import measured
from sightline_backend.remote_batch import run_any
from sightline_backend.workers.runner import Measured
from sightline_engines.picture import PictureLimits
from sightline_engines.types import Engine, ModelSpec, ServedModel

R = TypeVar("R")

LEAVE_S = 5.0


class ThreadRunner:
    """Runs an engine in one thread; a hung engine can't be replaced here."""

    def __init__(
        self, spec: ModelSpec, load: Callable[[ModelSpec], Engine], limits: PictureLimits
    ) -> None:
        """`load` blocks; it is called in the runner's thread."""
        self.spec = spec
        self._load = load
        self._limits = limits
        self._thread: ThreadPoolExecutor | None = None
        self._engine: Engine | None = None

    @property
    def served(self) -> ServedModel:
        """What answers, for showing."""
        assert self._engine is not None  # noqa: S101  told to nobody before it has started
        return self._engine.served

    @property
    def pid(self) -> None:
        """There is no process of its own."""
        return None

    async def start(self, measure_up_to: int | None) -> Measured:
        """Load the engine in the thread and measure it."""
        await self.close()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

        def load() -> Measured:
            self._engine = self._load(self.spec)
            return measured(self._engine, measure_up_to, self._limits)

        try:
            return await self._on_thread(load)
        except BaseException:
            await self.close()
            raise

    async def run(self, works: Sequence[Work], expected_s: float) -> BatchRun:
        """Run a batch in the thread."""
        engine = self._engine
        assert engine is not None  # noqa: S101  the batcher starts it first
        return await self._on_thread(lambda: run_any(engine, works, self._limits))

    async def close(self) -> None:
        """Close the engine once the thread is done with it; wait for that a moment."""
        thread, self._thread = self._thread, None
        if thread is None:
            return

        def let_go() -> None:
            if self._engine is not None:
                self._engine.close()

        closing = thread.submit(let_go)
        thread.shutdown(wait=False)
        await asyncio.wait([asyncio.wrap_future(closing)], timeout=LEAVE_S)

    def _on_thread(self, function: Callable[[], R]) -> asyncio.Future[R]:
        assert self._thread is not None  # noqa: S101
        return asyncio.get_running_loop().run_in_executor(self._thread, function)
