"""An engine in a process of its own: a crash or a hang costs one batch and no stream."""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress

from sightline_backend.batch import BatchRun, Work
from sightline_backend.errors import ReportedError
from sightline_backend.workers import pipe
from sightline_backend.workers.runner import Measured, RunnerLost
from sightline_engines.errors import EngineError
from sightline_engines.picture import PictureLimits
from sightline_engines.types import ModelSpec, ServedModel

HUNG_AFTER = 10.0  # times what a batch should take
HUNG_FLOOR_S = 2.0  # a machine that swaps or is short of cores stalls for that long at times
LEAVE_S = 5.0

_ENDS = (asyncio.IncompleteReadError, ConnectionError)


class ProcessRunner:
    """Runs an engine in a worker process, and tells when that is lost."""

    def __init__(self, spec: ModelSpec, options: pipe.EngineOptions, limits: PictureLimits) -> None:
        self.spec = spec
        self._options = options
        self._limits = limits
        self._process: Process | None = None
        self._served: ServedModel | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

    @property
    def served(self) -> ServedModel:
        """What answers, for showing."""
        assert self._served is not None  # noqa: S101  told to nobody before it has started
        return self._served

    @property
    def pid(self) -> int | None:
        """The worker's process id while there is one."""
        return self._process.pid if self._process else None

    async def start(self, measure_up_to: int | None) -> Measured:
        """Start a worker and have it load the engine."""
        await self.close()
        try:
            await self._spawn()
            load = pipe.Load(self.spec, self._options, self._limits, measure_up_to)
            match await self._call(load):
                case pipe.Loaded(served, measured):
                    self._served = served
                    return measured
                case pipe.LoadFailed(code, message):
                    raise ReportedError(code, message)
        except _ENDS as error:
            await self.close()
            raise EngineError(
                f"The process that loads {self.spec.name} ended ({error}); the log above may "
                "say why. Too little memory is a common reason."
            ) from error
        except BaseException:
            await self.close()
            raise
        raise AssertionError("a worker answers a load with one of the two")

    async def run(self, works: Sequence[Work], expected_s: float) -> BatchRun:
        """Send a batch to the worker and wait for its answer."""
        limit_s = max(HUNG_AFTER * expected_s, HUNG_FLOOR_S)
        try:
            async with asyncio.timeout(limit_s):
                answer = await self._call(pipe.Run([work.packed() for work in works]))
        except TimeoutError as error:
            await self._kill()
            raise RunnerLost("hung", f"no answer in {limit_s:.1f} s") from error
        except _ENDS as error:
            raise RunnerLost("crashed", await self._how_it_ended()) from error
        if answer is None:
            raise RuntimeError("a bug in the worker process; its log line is above")
        assert isinstance(answer, BatchRun)  # noqa: S101
        return answer

    async def close(self) -> None:
        """End the worker: it leaves when its socket closes, or is killed."""
        process, self._process = self._process, None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if process is None:
            return
        try:
            async with asyncio.timeout(LEAVE_S):
                await process.wait()
        except TimeoutError:
            self._process = process
            await self._kill()

    async def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await self.close()

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._reader, self._writer = await asyncio.open_connection(sock=ours)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-m", "sightline_backend.workers.child", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
            )

    async def _call(self, message: object) -> object:
        if self._writer is None:
            raise ConnectionResetError("the worker is gone")
        await pipe.send(self._writer, message)
        return await pipe.receive(self._reader)

    async def _how_it_ended(self) -> str:
        process = self._process
        await self.close()
        code = process.returncode if process else None
        if code is not None and code < 0:
            return f"killed by signal {-code}"
        return f"ended with status {code}"
