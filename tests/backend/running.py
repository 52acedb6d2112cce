"""The real server, in this process, on a free port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from fastapi import FastAPI

from sightline_backend.app import create_app
from sightline_backend.server import LiveServer, bind
from sightline_backend.service import Service
from sightline_backend.settings import Settings
from tests.backend.camera import Camera, connected
from tests.fakes import FakeEngine, FakeModels


@dataclass(frozen=True, slots=True, eq=False)
class Backend:
    """A running server and what it is made of."""

    app: FastAPI
    server: LiveServer
    port: int
    http: httpx.AsyncClient
    models: FakeModels

    @property
    def engine(self) -> FakeEngine:
        """The default model's engine."""
        return next(iter(self.models.engines.values()))

    @property
    def service(self) -> Service:
        """The app's parts."""
        service: Service = self.app.state.service
        return service

    @asynccontextmanager
    async def camera(self, query: str = "", **options: Any) -> AsyncIterator[Camera]:
        """Connect a client that has had its hello."""
        url = f"ws://127.0.0.1:{self.port}/ws/detect?{query}"
        async with connected(url, **options) as camera:
            yield camera

    async def metric(self, name: str, **labels: str) -> float:
        """Return one sample of the server's metrics."""
        value = self.service.telemetry.metrics.registry.get_sample_value(name, labels)
        assert value is not None, f"no {name} {labels}"
        return value

    async def detect(self, picture: bytes, **params: Any) -> httpx.Response:
        """Post a picture to /detect."""
        return await self.http.post("/detect", files={"file": picture}, params=params)


@asynccontextmanager
async def running(
    *engines: FakeEngine, models: FakeModels | None = None, **settings: Any
) -> AsyncIterator[Backend]:
    """Run a server on fake engines, the first one being the default.

    Live frames have five seconds, so that a busy machine makes no test fail. `models` may be
    given in place of engines.
    """
    models = models or FakeModels(engines or [FakeEngine()])
    with TemporaryDirectory() as folder:
        settings = {"deadline_ms": 5_000, "models_dir": Path(folder), "port": 0, **settings}
        chosen = Settings(model=next(iter(models.engines)), **settings)
        app = create_app(chosen, models=models, load=models.load)
        async with serving(app, chosen) as (server, port):
            base = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=base, timeout=30, trust_env=False) as http:
                yield Backend(app, server, port, http, models)


@asynccontextmanager
async def serving(app: FastAPI, settings: Settings) -> AsyncIterator[tuple[LiveServer, int]]:
    """Run an app on the port of its settings; yields the server and that port."""
    listener = bind(settings)
    async with app.router.lifespan_context(app):
        server = LiveServer(app, settings)
        task = asyncio.create_task(server.serve([listener]))
        await until(lambda: server.started)
        try:
            yield server, listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; the test's own time limit is the limit."""
    while not condition():  # noqa: ASYNC110  conditions of all kinds, none has an event
        await asyncio.sleep(0.005)
