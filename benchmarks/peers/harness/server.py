"""A peer's server as a tree of processes on one core: started, watched and ended."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sysconfig
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

import psutil

from benchmarks.peers.harness.environment import PeerError

ROOT = Path(__file__).resolve().parents[3]
START_S, STOP_S, IDLE_S = 120.0, 15.0, 30.0
ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "SIGHTLINE_THREADS")
}


@dataclass(slots=True, eq=False)
class Server:
    """The command runs with nothing of this program's environment but the search path."""

    command: Sequence[str]
    environment: Mapping[str, str]
    core: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    _file: IO[bytes] | None = None
    _cpu_s: dict[int, float] = field(default_factory=dict)  # by process, ended ones too

    def __enter__(self) -> Self:
        told = {
            "PATH": f"{Path(self.command[0]).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(Path.home()),
            # Triton's Python backend looks for the library of the Python that it starts.
            "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR") or ""),
            **ONE_THREAD,
            **self.environment,
        }
        self._file = self.log.open("wb")
        self.process = subprocess.Popen(
            ["taskset", "-c", str(self.core), *self.command],
            cwd=ROOT,
            env=told,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_for_answer(self, port: int, request: bytes) -> bytes:
        """Ask until the answer to a first picture is a success; return its body.

        Raises PeerError with the end of the log where none comes.
        """
        end_s = time.monotonic() + START_S
        last = "no answer"
        while time.monotonic() < end_s and self.process and self.process.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                status, body = ask(port, request)
                if 200 <= status < 300:
                    return body
                last = f"status {status}: {body[:300].decode(errors='replace')}"
            time.sleep(0.25)
        raise PeerError(f"it did not start ({last}); its log ends: {self.log_end()}")

    def hold(self) -> None:
        """Bind every thread to the core; a runtime may have bound its own elsewhere."""
        for one in self._tree():
            with suppress(psutil.Error, OSError):
                for thread in one.threads():
                    os.sched_setaffinity(thread.id, {self.core})

    def wait_until_idle(self) -> bool:
        """Wait until what is queued is worked off; False where that takes too long."""
        end_s = time.monotonic() + IDLE_S
        while time.monotonic() < end_s:
            before_s = self.cpu_s()
            time.sleep(0.5)
            if self.cpu_s() - before_s < 0.05:
                return True
        return False

    def cpu_s(self) -> float:
        """Return the processor time that the tree has used, ended processes included."""
        for one in self._tree():
            with suppress(psutil.Error):
                times = one.cpu_times()
                self._cpu_s[one.pid] = times.user + times.system
        return sum(self._cpu_s.values())

    def memory_mb(self) -> float:
        """Return what the tree holds, shared pages counted once (PSS)."""
        total = 0
        for one in self._tree():
            with suppress(psutil.Error):
                total += one.memory_full_info().pss
        return total / 2**20

    def log_end(self, characters: int = 600) -> str:
        """Return the last of what it said, on one line."""
        said = self.log.read_text(errors="replace") if self.log.is_file() else ""
        return " ".join(said[-characters:].split())

    def stop(self) -> None:
        """End the whole tree, by force where asking isn't enough."""
        if self.process is not None:
            tree = self._tree()
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            _, alive = psutil.wait_procs(tree, timeout=STOP_S)
            for one in alive:
                with suppress(psutil.Error):
                    one.kill()
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_S)
            self.process = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _tree(self) -> list[psutil.Process]:
        if self.process is None:
            return []
        with suppress(psutil.Error):
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        return []


def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """Send the bytes of a request and return the answer's status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.connect()
        connection.sock.sendall(request)
        answer = http.client.HTTPResponse(connection.sock, method="POST")
        answer.begin()
        return answer.status, answer.read()
    finally:
        connection.close()
