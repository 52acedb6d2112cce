"""`sightline up` as a real process, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import psutil

from tests.conftest import ROOT

SIGHTLINE = (sys.executable, "-m", "sightline_backend.cli.main")
PATIENCE_S = 90.0  # for a start or a stop, on a machine with other work


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """A started `sightline up` in a session of its own."""

    process: subprocess.Popen[str]
    backend_port: int
    frontend_port: int
    output: list[str]
    family: list[psutil.Process]

    @property
    def said(self) -> str:
        """All that it wrote until now."""
        return "".join(self.output)

    def wait_until_announced(self) -> None:
        """Wait for the panel with the addresses, and remember the processes there are then."""
        wait_for(lambda: "Ctrl-C stops both" in self.said or self.process.poll() is not None)
        assert self.process.poll() is None, self.said
        parent = psutil.Process(self.process.pid)
        self.family.extend([parent, *parent.children(recursive=True)])

    def child(self, command_part: str) -> psutil.Process:
        """Return the started program whose command line holds a text."""
        return next(p for p in self.family[1:] if command_part in " ".join(p.cmdline()))

    def ctrl_c(self) -> None:
        """Send what a terminal sends: SIGINT to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Wait for the end and return the exit status."""
        return self.process.wait(PATIENCE_S)

    def left_over(self) -> list[psutil.Process]:
        """Return the processes of the family that still run."""
        _, alive = psutil.wait_procs(self.family, timeout=5)
        return [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]

    def get(self, port: int, path: str) -> httpx.Response:
        """Ask one of the two programs."""
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=30)


@contextmanager
def running(command: Sequence[str] = (*SIGHTLINE, "up"), **variables: str) -> Iterator[Stack]:
    """Start the command on free ports; whatever is left at the end is killed."""
    backend_port, frontend_port = free_port(), free_port()
    ports = {"BACKEND_PORT": str(backend_port), "FRONTEND_PORT": str(frontend_port)}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **ports, **variables},  # noqa: TID251
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    stack = Stack(process, backend_port, frontend_port, [], [])
    assert process.stdout is not None
    reader = threading.Thread(target=stack.output.extend, args=(process.stdout,))
    reader.start()
    try:
        yield stack
    finally:
        known = psutil.pid_exists(process.pid) and process.poll() is None
        family = psutil.Process(process.pid).children(recursive=True) if known else []
        for one in [*family, *stack.family]:
            if one.is_running():
                one.kill()
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()


def wait_for(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
