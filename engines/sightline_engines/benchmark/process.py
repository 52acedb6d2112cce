"""A child process that measures, as the process that asked sees it."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any, Self

from sightline_engines.errors import EngineError

_SILENCE_S = 1800.0  # after which a child is taken for hung; TensorRT may build for minutes
_ENDING_S = 3.0


class Measuring:
    """Runs one child for the length of a block; killed at its end if it hasn't left."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sightline_engines.benchmark.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        assert self._process.stdout is not None  # noqa: S101  it is a pipe
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        self._say(json.dumps(self._request))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._process
        if process is None:
            return
        if kind is not None:
            process.kill()
        with contextlib.suppress(BrokenPipeError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def go(self) -> None:
        """Let a child that said it is ready begin."""
        self._say("go")

    def next(self) -> dict[str, Any]:
        """Wait for the next message; raises EngineError for a reported error and a lost child."""
        try:
            line = self._lines.get(timeout=_SILENCE_S)
        except queue.Empty as error:
            raise EngineError(f"Nothing was heard for {_SILENCE_S / 60:.0f} minutes.") from error
        if line is None:
            raise EngineError(f"The process that measured ended {self._how()}.")
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise EngineError(str(message["error"]))
        return message

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._lines.put(line)
        self._lines.put(None)

    def _say(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None  # noqa: S101, PT018
        with contextlib.suppress(BrokenPipeError):  # what became of it, `next` says
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _how(self) -> str:
        code = None if self._process is None else self._process.wait()
        if code is not None and code < 0:
            return f"by signal {-code}, for lack of memory perhaps"
        return f"with status {code}; its log says more"
