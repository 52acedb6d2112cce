"""An engine in a process of its own: a crash or a hang costs one batch and no stream."""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import cast

from sightline_backend.batch import BatchRun, Work
from sightline_backend.errors import ReportedError
from sightline_backend.workers.arena import Arena
from sightline_backend.workers.messages import (
    EngineOptions,
    Load,
    Loaded,
    LoadFailed,
    pack_works,
    unpack_run,
)
from sightline_backend.workers.pipe import Link
from sightline_backend.workers.runner import LONGEST_LOAD_S, Measured, RunnerLost
from sightline_engines.device import parse_device
from sightline_engines.errors import EngineError
from sightline_engines.load import EngineName
from sightline_engines.picture import PictureLimits
from sightline_engines.types import ModelSpec, ServedModel

HUNG_AFTER = 10.0  # times what a batch should take
HUNG_FLOOR_S = 2.0  # a machine that swaps or is short of cores stalls for that long at times
DECODE_S = 0.25  # for a frame; more than the dearest one that is let through
LEAVE_S = 5.0
LOAD_S = 300.0  # a model that isn't ready by then never will be: some loop without end


class ProcessRunner:
    """Runs an engine in a worker process, and tells when that is lost."""

    def __init__(
        self,
        spec: ModelSpec,
        options: EngineOptions,
        limits: PictureLimits,
        max_batch: int,
        *,
        load_s: float | None = None,
    ) -> None:
        """`load_s` is how long the engine may take to load; None: what such an engine needs."""
        self.spec = spec
        self._options = options
        self._limits = limits
        width, height = spec.input_size_wh
        self._arena_bytes = max_batch * max(limits.max_bytes, width * height * 3)
        self._served: ServedModel | None = None
        self._process: Process | None = None
        self._arena: Arena | None = None
        self._link = Link()
        # ONNX Runtime's TensorRT builds its engine as it loads.
        builds = options.device is not None and parse_device(options.device).kind == "tensorrt"
        self._load_s = load_s or (LONGEST_LOAD_S if builds else LOAD_S)

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
            load = Load(self.spec, self._options, self._limits, measure_up_to)
            async with asyncio.timeout(self._load_s):
                answer = await self._link.ask(load)
        except TimeoutError as error:
            await self._kill()
            raise EngineError(
                f"{self.spec.name} wasn't ready within {self._load_s:g} s and was given up. Does "
                "it run at all? Try it alone: sightline detect PICTURE --model FILE"
            ) from error
        except ConnectionError as error:
            raise EngineError(
                f"The process that loads {self.spec.name} {await self._how_it_ended()}; the "
                "server's log may say why. Too little memory is a common reason."
            ) from error
        except BaseException:
            await self.close()
            raise
        if isinstance(answer, LoadFailed):
            await self.close()
            raise ReportedError(answer.code, answer.message)
        assert isinstance(answer, Loaded)  # noqa: S101  there are these two
        self._served = answer.served
        if self._options.engine == "auto":
            # A restart has no time to try engines against each other again.
            engine = cast(EngineName, answer.served.engine)
            self._options = replace(self._options, engine=engine)
        return answer.measured

    async def run(self, works: Sequence[Work], expected_s: float) -> BatchRun:
        """Send a batch to the worker and wait for its answer."""
        if self._arena is None:
            raise RunnerLost("crashed", "it is not running")
        answer = self._link.ask(pack_works(works, self._arena))
        limit_s = max(HUNG_AFTER * expected_s, HUNG_FLOOR_S + DECODE_S * len(works))
        if self._options.engine == "triton" and self._options.triton is not None:
            # The server's own deadline comes first, for pictures and then tensors, and then the
            # standby's turn.
            triton = self._options.triton
            limit_s += triton.timeout_s * (2 if triton.transport == "pictures" else 1)
        limit = asyncio.get_running_loop().call_later(limit_s, _time_out, answer)
        try:
            row = await answer
        except TimeoutError as error:
            await self._kill()
            raise RunnerLost("hung", f"no answer in {limit_s:.1f} s") from error
        except ConnectionError as error:
            raise RunnerLost("crashed", await self._how_it_ended()) from error
        finally:
            limit.cancel()
        if row is None:
            raise RuntimeError("a bug in the worker process; its log line is above")
        run = unpack_run(row)
        if run.remote is not None:
            self._served = run.remote.served
        return run

    async def close(self) -> None:
        """End the worker: it leaves when its socket closes, or is killed."""
        self._link.close()
        if self._arena is not None:
            self._arena.close()
            self._arena = None
        if self._process is None:
            return
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        except asyncio.CancelledError:
            self._process.kill()
            raise
        finally:
            self._process = None

    async def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
        await self.close()

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        self._arena = arena = Arena.create(self._arena_bytes)
        with theirs:
            _, self._link = await asyncio.get_running_loop().create_connection(Link, sock=ours)
            fds = theirs.fileno(), arena.fd
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "sightline_backend.workers.child"),
                *(str(number) for number in (*fds, arena.size)),
                pass_fds=fds,
                stdin=asyncio.subprocess.DEVNULL,
            )

    async def _how_it_ended(self) -> str:
        process = self._process
        await self.close()
        code = process.returncode if process else None
        if code is not None and code < 0:
            return f"was killed by signal {-code}"
        return f"ended with status {code}"


def _time_out(answer: asyncio.Future[object]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())
