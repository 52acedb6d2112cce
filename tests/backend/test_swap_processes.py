"""A swap between engines in processes of their own, which die at the wrong moment."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sightline_backend.batch import Done, Work
from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.pool import EnginePool
from sightline_backend.settings import Settings
from sightline_backend.telemetry import Telemetry
from sightline_backend.workers.choice import runners
from sightline_engines.assets import shipped_model
from sightline_engines.errors import EngineError
from sightline_engines.pipeline import default_options
from sightline_engines.recognise import recognise
from sightline_engines.types import ModelSpec
from sightline_monitoring.metrics import Metrics
from tests.backend.running import until
from tests.fakes import encoded, grey


async def isolated_pool(folder: Path) -> tuple[EnginePool, ModelSpec]:
    settings = Settings(models_dir=folder)
    spec = recognise(shipped_model())
    telemetry = Telemetry(Metrics())

    class One:
        def list(self) -> list[ModelSpec]:
            return [spec]

        def find(self, name_or_path: str) -> ModelSpec:
            return spec

    def make(spec: ModelSpec) -> Batcher:
        limits = BatchLimits(max_batch=1)  # the less is measured
        return Batcher(runners(spec, settings, limits.picture), limits, telemetry)

    return EnginePool(One(), make, spec.name), spec


async def test_a_new_engine_that_is_killed_while_it_warms_up_leaves_the_old_one(
    tmp_path: Path,
) -> None:
    pool, spec = await isolated_pool(tmp_path)
    async with pool:
        (old,) = pool.default.pids
        swap = asyncio.create_task(pool.swap(spec.name, replace(spec, engine="onnxruntime")))
        fresh: list[int] = []

        def warming() -> bool:
            children = psutil.Process().children()
            fresh[:] = [
                child.pid
                for child in children
                if child.pid != old and "sightline_backend.workers.child" in child.cmdline()
            ]
            return bool(fresh)

        await until(warming)
        os.kill(fresh[0], signal.SIGKILL)
        with pytest.raises(EngineError, match="signal 9"):
            await swap
        assert pool.default.pids == [old]
        assert pool.trouble is None


async def test_a_kept_worker_that_was_killed_is_loaded_anew(tmp_path: Path) -> None:
    pool, spec = await isolated_pool(tmp_path)
    async with pool:
        (kept,) = pool.default.pids
        await pool.swap(spec.name, replace(spec, engine="onnxruntime"))
        os.kill(kept, signal.SIGKILL)
        batcher = await pool.swap(spec.name, spec)
        assert batcher.pids != [kept]
        now_s = time.monotonic()
        work = Work(encoded(grey(200)), default_options(spec), now_s, now_s + 60)
        assert isinstance(await batcher.submit(batcher.open_stream(), work), Done)


async def test_a_swap_replaces_an_engine_that_is_being_restarted(tmp_path: Path) -> None:
    pool, spec = await isolated_pool(tmp_path)
    async with pool:
        os.kill(pool.default.pids[0], signal.SIGKILL)
        batcher = await pool.swap(spec.name, replace(spec, engine="onnxruntime"))
        assert pool.default is batcher
        assert batcher.served.engine == "onnxruntime"
        assert pool.trouble is None
