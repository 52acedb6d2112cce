"""What the metrics tell of jobs, and of models that wait for their plan, on the real server."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline_backend.app import create_app
from sightline_backend.jobs.requests import ConvertRequest
from sightline_backend.service import Service
from sightline_backend.settings import Settings
from sightline_backend.store.store import open_store
from sightline_engines.passport import Passport
from sightline_engines.types import ModelSpec
from tests.backend.job_server import do_test_work
from tests.backend.running import running, until
from tests.engines.tiny import constant_model
from tests.fakes import FakeEngine

PASSPORT = Passport("no such GPU", "9.0", "11.4", "580", "", "", 1, 4, 8, (64, 64))


@pytest.fixture(autouse=True)
def tests_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    do_test_work(monkeypatch)


def asking(what: str) -> ConvertRequest:
    return ConvertRequest(model="sightline-webcam", format="onnx", labels=[what])


async def test_jobs_are_counted_and_their_silence_timed() -> None:
    async with running() as backend:
        jobs, metric = backend.service.jobs, backend.metric

        async def told() -> tuple[float, float, float]:
            backend.service.gauges.copy()
            return (
                await metric("sightline_jobs_open", state="queued"),
                await metric("sightline_jobs_open", state="running"),
                await metric("sightline_job_silence_seconds"),
            )

        assert await told() == (0, 0, 0)
        first = await jobs.submit("convert", asking("hang"))
        second = await jobs.submit("convert", asking("work"))
        await until(lambda: jobs.records.job(first.id).doing == "hang")
        queued, at_work, silence_s = await told()
        assert (queued, at_work) == (1, 1)
        await asyncio.sleep(0.05)
        assert (await told())[2] >= silence_s + 0.05
        for job in (second, first):
            await jobs.cancel(job.id)
        assert await told() == (0, 0, 0)
        counted = await metric("sightline_jobs_total", kind="convert", result="cancelled")
        assert counted == 2


def with_a_plan_of_another_machine(folder: Path) -> int:
    """Fill a store with a model that was promoted to a plan; return its ONNX's number."""
    raw = np.array([[16, 16, 48, 48, 0.9, 0]], np.float32)
    path = constant_model(folder / "cam.onnx", raw, metadata={"names": "{0: 'person'}"})
    path.with_suffix(".json").write_text('{"family": "end2end", "labels": ["person"]}')
    with closing(open_store(folder / "models")) as store:
        store.models.add(path, "cam")
        source = store.models.model("cam").versions[0].artefacts[0]
        assert source.spec is not None
        made = folder / "cam.plan"
        made.write_bytes(b"no plan that anybody could run")
        spec = replace(source.spec, path=made, precision="fp16", sha256="", passport=PASSPORT)
        plan = store.models.add_artefact(source, spec, made_from_id=source.id, origin="test")
        store.promotions.add("cam", plan.id, engine="tensorrt")
        return source.id


async def test_models_that_wait_for_their_plan_are_counted_until_they_do_no_more(
    tmp_path: Path,
) -> None:
    source_id = await asyncio.to_thread(with_a_plan_of_another_machine, tmp_path)
    given: dict[str, Any] = {"model": "cam", "models_dir": tmp_path / "models", "port": 0}

    def load(spec: ModelSpec) -> FakeEngine:
        return FakeEngine(spec)

    app = create_app(Settings(**given), load=load)
    async with app.router.lifespan_context(app):
        service: Service = app.state.service

        def waiting() -> float | None:
            service.gauges.copy()
            registry = service.telemetry.metrics.registry
            return registry.get_sample_value("sightline_engines_rebuilding")

        await until(lambda: bool(service.pool.running))
        assert waiting() == 1
        await service.serving.promote("cam", source_id, force=True, reason="the GPU is gone")
        assert waiting() == 0
