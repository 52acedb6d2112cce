"""The processes that make the load, as the one that measures sees them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Self, cast

from sightline_engines.errors import EngineError
from sightline_engines.triton.bench.answers import joined
from sightline_engines.triton.bench.generator import Command, Job, Run, Taken, main
from sightline_engines.triton.bench.options import BenchOptions, Closed
from sightline_engines.triton.bench.senders import Target

_AHEAD_S = 0.05  # so that all processes have heard when to begin


class Load:
    """Sends requests during a block; use as `with Load(…)`. What is in flight at its end is cut."""

    def __init__(self, target: Target, options: BenchOptions) -> None:
        load = options.load
        most = load.in_flight if isinstance(load, Closed) else load.most_in_flight
        count = min(options.processes, most)
        self._jobs = [Job(target, load, options.seed, share, count) for share in range(count)]
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            for job in self._jobs:
                self._processes.append(_start())
                self._tell(self._processes[-1], job)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def run(self, limit: int | None = None) -> float:
        """Begin to send, so many requests or without end; return the moment when it begins."""
        begin_s = time.monotonic() + _AHEAD_S
        for process in self._processes:
            self._tell(process, Run(limit, begin_s))
        return begin_s

    def take(self) -> Taken:
        """Return what ended since the last call, of all processes; may be asked before `run`."""
        parts: list[Taken] = []
        for process in self._processes:
            self._tell(process, "take")
            try:
                parts.append(cast(Taken, pickle.load(process.stdout)))  # type: ignore[arg-type]  # noqa: S301
            except EOFError:
                raise _lost(process) from None
        return Taken(
            joined(one.answers for one in parts),
            all(one.done for one in parts),
            tuple(used for one in parts for used in one.cpu_s),
        )

    @staticmethod
    def _tell(process: subprocess.Popen[bytes], message: Command | Job) -> None:
        assert process.stdin is not None  # noqa: S101  it was opened so
        try:
            pickle.dump(message, process.stdin)
            process.stdin.flush()
        except BrokenPipeError:
            raise _lost(process) from None

    def _end(self) -> None:
        for process in self._processes:
            process.kill()  # it holds nothing that must be kept
            for stream in (process.stdin, process.stdout):
                with suppress(OSError):
                    if stream is not None:
                        stream.close()
            process.wait()


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # Not by -m: the classes that are sent would not be those of the module that runs.
        [sys.executable, "-c", f"from {main.__module__} import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the one that measures
    )


def _lost(process: subprocess.Popen[bytes]) -> EngineError:
    return EngineError(
        f"The load generator ended by itself (exit status {process.wait()}); what it wrote to "
        "stderr says why. Lack of memory is a common reason: send fewer pictures."
    )
