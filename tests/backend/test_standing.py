"""What the metrics and the gate are told of what serves: like compared with like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sightline_backend import app
from sightline_backend.errors import AccuracyGateError
from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import BenchmarkRequest
from sightline_backend.service import Service
from sightline_backend.serving.gate import accuracy_loss, check_gate
from sightline_backend.serving.gate import measured as measured_of
from sightline_backend.serving.standing import Standings, standings
from sightline_backend.store.records import Artefact
from sightline_backend.store.store import Store
from sightline_engines.types import ServedModel
from tests.backend.running import until
from tests.backend.serving_bench import filled_store, first, made, measured

CAM = ServedModel("cam", "1", "onnxruntime", "int8", "CPU")
CALM = {"processor": "A", "processors": 2, "gpus": []}
OTHER = {**CALM, "processor": "B"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with filled_store(tmp_path) as store:
        yield store


def benchmarked(store: Store, host: dict[str, Any]) -> int:
    """Return the number of a benchmark that was run on a machine."""
    asked = BenchmarkRequest(model="cam", engines=["onnxruntime"], precisions=["fp32"])
    records = JobRecords(store.database)
    job = records.add("benchmark", asked, "nobody")
    records.end(job.id, "nobody", "done", {"result": {"cells": [], "host": host}})
    return job.id


def lost(store: Store, now: Artefact, new: Artefact) -> float | None:
    return accuracy_loss(measured_of(store, now), measured_of(store, new))


@pytest.mark.parametrize(
    ("was", "becomes", "loss"),
    [
        ({}, {}, 0.1),
        ({"person": 0.6, "face": 0.4}, {"person": 0.6, "face": 0.4}, 0.0),
        ({"person": 0.6, "face": 0.4}, {"person": 0.6}, 0.2),
        ({"person": 0.6}, {"person": 0.6, "face": 0.1}, 0.0),
        ({"person": 0.6}, {"person": 0.4, "face": 0.9}, 0.2),
    ],
)
def test_a_class_that_the_new_model_forgot_counts_as_lost(
    store: Store, was: dict[str, float], becomes: dict[str, float], loss: float
) -> None:
    other = made(store, b"int8")
    measured(store, first(store), 0.5, per_class=was)
    measured(store, other, 0.4, per_class=becomes)
    assert lost(store, first(store), other) == pytest.approx(loss)


def test_only_figures_of_the_size_that_an_artefact_serves_with_count(store: Store) -> None:
    other = made(store, b"int8")
    measured(store, first(store), 0.5)
    measured(store, first(store), 0.3, size=32)
    measured(store, other, 0.29, size=32)
    assert lost(store, first(store), other) is None
    measured(store, other, 0.48)
    assert lost(store, first(store), other) == pytest.approx(0.02)


def test_a_conversion_to_another_input_size_needs_to_be_measured(store: Store) -> None:
    small = made(store, b"small", precision="fp32", input_size_wh=(32, 32))
    with pytest.raises(AccuracyGateError, match="input size"):
        check_gate(first(store), small, None, 0.01, force=False)


def test_what_was_forced_is_compared_with_nothing(store: Store) -> None:
    other = made(store, b"int8")
    measured(store, first(store), 0.5)
    measured(store, other, 0.3)
    store.promotions.add("cam", other.id)
    found = standings(store, [CAM])
    assert found.accuracy == {"cam": 0.3}
    assert found.loss == {"cam": pytest.approx(0.2)}
    store.promotions.add("cam", other.id, forced=True, reason="at night it is enough")
    assert standings(store, [CAM]) == Standings(accuracy={"cam": 0.3})


Fill = Callable[[Store, Artefact, Artefact], None]


def _alike(store: Store, old: Artefact, new: Artefact) -> None:
    job = benchmarked(store, CALM)
    measured(store, old, p95_ms=10, job_id=job)
    measured(store, new, p95_ms=20, job_id=benchmarked(store, CALM))


def _another_engine(store: Store, old: Artefact, new: Artefact) -> None:
    _alike(store, old, new)
    measured(store, new, p95_ms=90, engine="openvino", job_id=benchmarked(store, CALM))


def _auto_took_the_faster(store: Store, old: Artefact, new: Artefact) -> None:
    _alike(store, old, new)
    measured(store, old, p95_ms=5, engine="openvino", job_id=benchmarked(store, CALM))


def _another_machine(store: Store, old: Artefact, new: Artefact) -> None:
    measured(store, old, p95_ms=10, job_id=benchmarked(store, OTHER))
    measured(store, new, p95_ms=20, job_id=benchmarked(store, CALM))


def _another_device(store: Store, old: Artefact, new: Artefact) -> None:
    job = benchmarked(store, CALM)
    measured(store, old, p95_ms=10, device="cuda:0", job_id=job)
    measured(store, new, p95_ms=20, job_id=job)


def _another_size(store: Store, old: Artefact, new: Artefact) -> None:
    _alike(store, old, new)
    measured(store, new, p95_ms=90, size=640, job_id=benchmarked(store, CALM))


def _nobody_knows_where(store: Store, old: Artefact, new: Artefact) -> None:
    measured(store, old, p95_ms=10)
    measured(store, new, p95_ms=20)


@pytest.mark.parametrize(
    ("fill", "ratio"),
    [
        (lambda *_: None, None),
        (_alike, 2.0),
        (_another_engine, 2.0),
        (_auto_took_the_faster, 4.0),
        (_another_machine, None),
        (_another_device, None),
        (_another_size, 2.0),
        (_nobody_knows_where, None),
    ],
)
def test_times_are_those_of_the_engine_device_and_machine_that_serve(
    store: Store, fill: Fill, ratio: float | None
) -> None:
    other = made(store, b"int8")
    fill(store, first(store), other)
    store.promotions.add("cam", other.id)
    found = standings(store, [CAM]).slowdown
    assert found == ({} if ratio is None else {"cam": pytest.approx(ratio)})


def test_tensorrt_was_measured_on_the_gpu_that_cells_call_cuda(store: Store) -> None:
    other, job = made(store, b"int8"), benchmarked(store, CALM)
    for artefact, p95_ms in ((first(store), 10), (other, 20)):
        measured(store, artefact, p95_ms=p95_ms, device="cuda:0", job_id=job)
    store.promotions.add("cam", other.id)
    for device, slowdown in (("TensorRT:0", {"cam": 2.0}), ("TensorRT:1", {})):
        served = ServedModel("cam", "1", "onnxruntime", "int8", device)
        assert standings(store, [served]).slowdown == slowdown


def test_a_file_that_the_settings_name_is_left_out(store: Store) -> None:
    measured(store, first(store), 0.5)
    mine = ServedModel("mine", "1", "onnxruntime", "fp32", "CPU")
    assert standings(store, [mine, CAM]).accuracy == {"cam": 0.5}


async def test_the_watch_goes_on_after_whatever_happens(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, float]] = []
    asked = 0

    async def run(ask: Callable[[], Standings]) -> Standings:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RuntimeError("a bug")
        return ask()

    measured(store, first(store), 0.5)
    lifecycle = SimpleNamespace(promoted=lambda *figures: told.append(figures[0]))
    service = SimpleNamespace(
        store=store,
        pool=SimpleNamespace(running=[SimpleNamespace(served=CAM)], loaded=["cam"]),
        reader=SimpleNamespace(run=run),
        telemetry=SimpleNamespace(metrics=SimpleNamespace(lifecycle=lifecycle)),
    )
    monkeypatch.setattr(app, "STANDINGS_EVERY_S", 0.0)
    watch = asyncio.create_task(app._watch_standings(cast(Service, service)))
    try:
        await until(lambda: told != [])
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError, RuntimeError):
            await watch
    assert told[0] == {"cam": 0.5}
