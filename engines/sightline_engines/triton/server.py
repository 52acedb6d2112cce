"""A tritonserver of our own on this machine, for trying things: started, watched, ended."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from sightline_engines.errors import ProviderError

READY_S = 60.0  # a stub that can't start holds Triton's start up for ever
LEAVE_S = 10.0
LOG_TAIL = 2000  # characters of the log in an error
_POLL_S = 0.05
_SHM = Path("/dev/shm")  # noqa: S108  where Triton's Python backend keeps its regions
_REGION = re.compile(r"triton_\w+_backend_shm_region_")  # of all backends written in Python


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a tritonserver is run; all it listens on is this machine's own."""

    program: Path  # tritonserver
    repository: Path
    backends: Path | None = None  # folder of its backends; None: where it was built to look
    caches: Path | None = None
    path: str | None = None  # PATH of its Python models, whose interpreter it picks
    load: tuple[str, ...] = ()  # models to load at the start; others when they are asked for
    arguments: tuple[str, ...] = ()  # any further ones
    ready_s: float = READY_S
    environment: Mapping[str, str] = field(default_factory=dict)


class TritonServer:
    """Runs a tritonserver for the length of a block; use as `with TritonServer(…)`."""

    def __init__(self, options: ServerOptions, log_file: Path) -> None:
        self.options = options
        self.log_file = log_file
        self.http_port, self.grpc_port, self.metrics_port = 0, 0, 0
        self._process: subprocess.Popen[bytes] | None = None
        self._regions: frozenset[str] = frozenset()

    @property
    def grpc_url(self) -> str:
        """Host and port, as tritonclient takes them."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def http_url(self) -> str:
        """Host and port, as tritonclient takes them."""
        return f"127.0.0.1:{self.http_port}"

    @property
    def metrics_url(self) -> str:
        """Address of the page that Prometheus reads."""
        return f"http://127.0.0.1:{self.metrics_port}/metrics"

    @property
    def pid(self) -> int | None:
        """The server's process while there is one."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it is ready; on the ports that it had before, if any.

        Raises ProviderError with the end of its log where it isn't ready in time.
        """
        self._regions = _regions()
        if not self.grpc_port:
            self.http_port, self.grpc_port, self.metrics_port = _free_ports(3)
        with self.log_file.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    self._command(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment(),
                    start_new_session=True,  # its stubs end with it
                )
            except OSError as error:
                raise ProviderError(f"{self.options.program} can't be run: {error}.") from error
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it, its stubs too, and give back the shared memory that a crash leaves."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._end_group(process)

    def kill(self) -> None:
        """End it at once, as a crash would; its shared memory stays until it starts or stops."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Start it anew on the same ports, whatever state it is in."""
        self.stop()
        self.start()

    def _end_group(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for name in _regions() - self._regions:
            with suppress(OSError):
                if not _in_use(_SHM / name):
                    (_SHM / name).unlink()

    def _wait_ready(self) -> None:
        process, end_s = self._process, time.monotonic() + self.options.ready_s
        while process is not None and process.poll() is None and time.monotonic() < end_s:
            with suppress(OSError, urllib.error.URLError):
                url = f"http://{self.http_url}/v2/health/ready"
                with urllib.request.urlopen(url, timeout=1):
                    return
            time.sleep(_POLL_S)
        code = process.poll() if process else None
        what = f"wasn't ready within {self.options.ready_s:g} s" if code is None else "ended"
        raise ProviderError(
            f"tritonserver {what}. Its log ends with: {_tail(self.log_file)} (all of it is in "
            f"{self.log_file}; a Python model that hangs as it starts is a common reason)"
        )

    def _command(self) -> Sequence[str]:
        options = self.options
        command = [
            str(options.program),
            f"--model-repository={options.repository}",
            "--model-control-mode=explicit",
            f"--http-port={self.http_port}",
            f"--grpc-port={self.grpc_port}",
            f"--metrics-port={self.metrics_port}",
            *(f"--{kind}-address=127.0.0.1" for kind in ("http", "grpc", "metrics")),
            "--exit-timeout-secs=5",
            "--strict-readiness=false",  # else one unloaded model and it is never ready again
            "--metrics-config=summary_latencies=true",
            "--metrics-config=summary_quantiles=0.5:0.05,0.95:0.005,0.99:0.001",
            *(f"--load-model={name}" for name in options.load),
        ]
        if options.backends is not None:
            command.append(f"--backend-directory={options.backends}")
        if options.caches is not None:
            command.append(f"--cache-directory={options.caches}")
        return [*command, *options.arguments]

    def _environment(self) -> dict[str, str]:
        known = os.environ  # noqa: TID251  a program of another's gets the little that it needs
        kept = {name: known[name] for name in ("HOME", "PATH", "LD_LIBRARY_PATH") if name in known}
        if self.options.path is not None:
            kept["PATH"] = self.options.path
        kept["PYTHONDONTWRITEBYTECODE"] = "1"  # steps' folders stay as they were made
        return kept | dict(self.options.environment)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _regions() -> frozenset[str]:
    try:
        return frozenset(name for name in os.listdir(_SHM) if _REGION.match(name))
    except OSError:
        return frozenset()


def _in_use(region: Path) -> bool:
    """Tell whether any process we may look at has a region mapped: another Triton's is not ours."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            if str(region) in maps.read_text():
                return True
    return False


def _tail(log_file: Path) -> str:
    try:
        return log_file.read_text(errors="replace")[-LOG_TAIL:].strip() or "nothing"
    except OSError:
        return "nothing that can be read"
