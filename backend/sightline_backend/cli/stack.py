"""The server and the pages as two child processes: started, watched and stopped together."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.text import Text

from sightline_backend.cli import child, ports
from sightline_backend.cli.banner import banner
from sightline_backend.cli.child import Child
from sightline_backend.cli.console import fail, say_error, stderr, stdout
from sightline_backend.settings import Settings

START_LIMIT_S = 300.0  # TensorRT builds its engine at every start
_COLOURS = {"backend": "cyan", "frontend": "magenta"}


class Stack:
    """Both programs; `run` starts them and returns when they have ended."""

    def __init__(self, settings: Settings, frontend_port: int, *, open_page: bool) -> None:
        self._settings = settings
        self._frontend_port = frontend_port
        self._open_page = open_page
        self._ready = False

    async def run(self) -> int:
        """Run until a signal or until one of the two ends; return the exit status."""
        self._check_ports()
        stop = asyncio.Event()
        children: list[Child] = []

        def on_signal() -> None:
            if stop.is_set():  # asked twice: no more waiting
                for one in children:
                    one.kill()
            stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                loop.add_signal_handler(number, on_signal)
        try:
            children.append(await self._start_backend())
            children.append(await self._start_frontend())
            return await self._watch(children, stop)
        finally:
            if children:
                stderr.print("Stopping …")
            patience_s = self._settings.shutdown_timeout_s + 5
            await asyncio.gather(*(one.stop(patience_s) for one in children))

    async def _watch(self, children: list[Child], stop: asyncio.Event) -> int:
        """Wait for the start, then for the first thing that ends it all."""
        stopped = asyncio.create_task(stop.wait())
        ends = {asyncio.create_task(one.ended()): one for one in children}
        starting = asyncio.create_task(self._until_ready())
        waiting: set[asyncio.Task[Any]] = {stopped, starting, *ends}
        with stderr.status("Starting: the model loads and is run once …") as status:
            done, _ = await asyncio.wait(
                waiting, timeout=START_LIMIT_S, return_when=asyncio.FIRST_COMPLETED
            )
            status.stop()
            if done == {starting}:
                self._announce(starting.result())
                waiting.discard(starting)
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in (starting, stopped, *ends):
            task.cancel()
        if stop.is_set():
            return 0
        dead = [one for task, one in ends.items() if task in done]
        for one in dead or children:
            self._explain(one, died=bool(dead))
        return 1

    def _check_ports(self) -> None:
        host, backend = self._settings.host, self._settings.port
        if backend == self._frontend_port:
            fail(f"Both were told port {backend}: set BACKEND_PORT or FRONTEND_PORT to another.")
        for port, variable in ((backend, "BACKEND_PORT"), (self._frontend_port, "FRONTEND_PORT")):
            if not ports.is_free(host, port):
                fail(ports.taken(host, port, variable))

    async def _start_backend(self) -> Child:
        given = {
            "SIGHTLINE_HOST": self._settings.host,
            "SIGHTLINE_PORT": str(self._settings.port),
            "SIGHTLINE_MODEL": self._settings.model,
            "SIGHTLINE_ENGINE": self._settings.engine,
        }
        command = [sys.executable, "-m", "sightline_backend"]
        return await self._start("backend", command, given, Path.cwd())

    async def _start_frontend(self) -> Child:
        found = importlib.util.find_spec("sightline_frontend")
        if found is None or found.origin is None:
            fail("The pages are not installed: `make install`, or pip install sightline-frontend.")
        folder = Path(found.origin).parent
        options = {
            "server.port": self._frontend_port,
            "server.address": self._settings.host,
            "server.headless": "true",
            "server.fileWatcherType": "none",
            "browser.gatherUsageStats": "false",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "streamlit", "run", str(folder / "app.py"), *flags]
        return await self._start(
            "frontend", command, {"SIGHTLINE_BACKEND_URL": self.backend_url}, folder
        )

    async def _start(
        self, name: str, command: list[str], given: Mapping[str, str], cwd: Path
    ) -> Child:
        inherited = os.environ  # noqa: TID251  a child gets what we were given
        env = {**inherited, "PYTHONUNBUFFERED": "1", **given}
        return await child.start(name, command, env=env, cwd=cwd, on_line=self._show)

    @property
    def backend_url(self) -> str:
        """Where this machine reaches the server."""
        return f"http://{ports.reachable(self._settings.host)}:{self._settings.port}"

    async def _until_ready(self) -> dict[str, Any]:
        """Ask both until they answer; return what the server says of itself."""
        host = ports.reachable(self._settings.host)
        page = f"http://{host}:{self._frontend_port}/_stcore/health"
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            while True:
                try:
                    health = (await client.get(f"{self.backend_url}/health")).json()
                    if health["ready"] and (await client.get(page)).is_success:
                        return dict(health)
                except (httpx.TransportError, ValueError, KeyError):
                    pass
                await asyncio.sleep(0.2)

    def _announce(self, health: dict[str, Any]) -> None:
        self._ready = True
        stdout.print(banner(self._settings.host, self._frontend_port, self.backend_url, health))
        if self._open_page:
            webbrowser.open(f"http://localhost:{self._frontend_port}")

    def _show(self, name: str, line: str) -> None:
        """Pass a line on; those of the start are kept for when it fails."""
        if self._ready:
            self._print(name, line)

    def _explain(self, one: Child, *, died: bool) -> None:
        """Say what ended it all, below the program's last lines."""
        if not self._ready:  # later ones were shown as they came
            for line in one.tail:
                self._print(one.name, line)
        if died:
            how = _how_it_ended(one.process.returncode or 0)
            say_error(f"The {one.name} ended by itself, {how}; its last lines are above.")
        else:
            say_error(f"The {one.name} didn't answer within {START_LIMIT_S:.0f} s.")

    def _print(self, name: str, line: str) -> None:
        who = Text(f"{name:8} │ ", _COLOURS[name])
        stderr.print(who, Text.from_ansi(line), sep="", soft_wrap=True)


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    return f"by {signal.Signals(-status).name}"
