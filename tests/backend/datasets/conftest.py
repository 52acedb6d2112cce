"""The routes of data sets on a store of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from sightline_backend.handlers import add_error_handlers
from sightline_backend.routes import datasets as routes
from sightline_backend.settings import Settings
from sightline_backend.store.store import Store, open_store
from tests.backend.datasets.calls import write


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def turn() -> asyncio.Semaphore:
    return asyncio.Semaphore(1)


@pytest.fixture
async def http(
    store: Store, tmp_path: Path, turn: asyncio.Semaphore
) -> AsyncIterator[httpx.AsyncClient]:
    data = tmp_path / "data"
    write(data / "street")
    (data / "nothing").mkdir()
    settings = Settings(data_dir=data, max_dataset_bytes=20_000, models_dir=store.folder)
    app = FastAPI()
    app.include_router(routes.router)
    add_error_handlers(app)
    app.state.service = SimpleNamespace(store=store, settings=settings, dataset_turn=turn)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as client:
        yield client
    store.close()
