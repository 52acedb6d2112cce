"""Trials in the shadow: nobody's traffic, and times that can be compared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from sightline_backend.admission import RateWish
from sightline_backend.batch import Done, Work
from sightline_backend.batcher import Batcher, BatchLimits
from sightline_backend.lane import Observer
from sightline_backend.pool import EnginePool
from sightline_backend.serving.shadow import Shadow, ShadowWish, Tally
from sightline_backend.serving.turns import Machine
from sightline_backend.telemetry import Telemetry
from sightline_backend.workers.thread import ThreadRunner
from sightline_engines.agreement import Boxes, agreement
from sightline_engines.picture import PictureLimits
from sightline_engines.pipeline import default_options
from sightline_engines.types import Detections, ModelSpec, Timings
from sightline_monitoring.metrics import Metrics
from tests.backend.running import running, until
from tests.backend.swapping import FilesOfModels, file_of
from tests.fakes import SPEC, FakeEngine, encoded, grey

EMPTY = Boxes(Detections.empty(), SPEC.labels)
NONE = agreement(EMPTY, EMPTY, 0.25, 0.9)


def answer(infer_ms: float, batch_size: int) -> Done:
    return Done(Detections.empty(), (64, 64), Timings(infer=infer_ms), batch_size)


@pytest.mark.parametrize(
    ("frames", "timed", "times"),
    [
        ([], 0, None),
        ([(80.0, 4)], 0, None),
        ([(80.0, 4), (20.0, 1)], 1, 1.5),
        ([(80.0, 4), (20.0, 1), (80.0, 4), (80.0, 4), (30.0, 1)], 2, 1.2),
    ],
)
def test_times_are_compared_where_both_ran_batches_of_the_same_size(
    frames: Sequence[tuple[float, int]], timed: int, times: float | None
) -> None:
    tally = Tally()
    for infer_ms, size in frames:
        tally.add(NONE, answer(infer_ms, size), answer(30.0, 1))
    report = tally.to_dict()
    assert (report["compared"], report["timed"]) == (len(frames), timed)
    assert report["infer_times"] == times
    assert "total_ms" not in report


async def test_what_a_candidate_runs_counts_as_nobodys_traffic() -> None:
    serving, candidate = file_of("old"), file_of("new")
    models = FilesOfModels([FakeEngine(serving), FakeEngine(candidate)])
    metrics, machine = Metrics(), Machine()
    telemetry: Observer = Telemetry(metrics)

    def make(spec: ModelSpec) -> Batcher:
        one = ThreadRunner(spec, models.load, PictureLimits())
        return Batcher([one], BatchLimits(), telemetry, machine)

    def told(name: str, **labels: str) -> float:
        return metrics.registry.get_sample_value(name, labels) or 0.0

    async with EnginePool(models, make, "fake", capacity=2) as pool:
        shadow = Shadow(ShadowWish("fake", 7, candidate, 1.0), telemetry)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        trial = asyncio.create_task(shadow.run(pool, ready))
        await ready
        stream = pool.default.open_stream(RateWish())
        for seq in range(1, 11):
            now_s = time.monotonic()
            work = Work(encoded(grey(200)), default_options(serving), now_s, now_s + 60)
            assert isinstance(await pool.default.submit(stream, work), Done)
            await until(lambda seq=seq: shadow.report()["compared"] == seq)  # type: ignore[misc]
        shadow.end()
        await trial
    assert told("sightline_frames_total", result="answered") == 10
    assert told("sightline_model_loads_total", result="loaded") == 1
    assert told("sightline_shadow_frames_total", agreed="yes") == 10


async def test_the_memory_of_candidates_and_kept_engines_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [file_of(name) for name in ("old", "new", "third")]
    models = FilesOfModels([FakeEngine(spec) for spec in files])
    numbers = {str(spec.path): number for number, spec in enumerate(files)}
    monkeypatch.setattr(Batcher, "pids", property(lambda one: [numbers[str(one.spec.path)]]))
    async with running(models=models) as backend:
        pool, gauges = backend.service.pool, backend.service.gauges
        await pool.swap("fake", files[1])
        async with pool.beside(files[2]):
            gauges.copy()
            assert sorted(gauges.pids) == [0, 1, 2]
        gauges.copy()
        assert sorted(gauges.pids) == [0, 1]
