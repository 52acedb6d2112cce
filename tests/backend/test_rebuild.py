"""Plans that don't fit this machine: what serves meanwhile, and how they are built anew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sightline_backend.jobs.records import JobRecords
from sightline_backend.jobs.requests import BenchmarkRequest, ConvertRequest, Kind
from sightline_backend.serving import rebuild
from sightline_backend.store.records import Artefact
from sightline_backend.store.store import Store
from tests.backend.running import until
from tests.backend.serving_bench import (
    PASSPORT,
    bench_of,
    filled_store,
    first,
    frames,
    made,
    needs_driver,
    promoted_plan,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with filled_store(tmp_path) as store:
        yield store


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "LOOK_EVERY_S", 0.02)


def built(store: Store, driver: str, content: bytes = b"") -> Artefact:
    """Add what a build makes on a machine."""
    passport = replace(PASSPORT, driver=driver)
    content = content or f"plan for {driver}".encode()
    return made(store, content, ".plan", "fp16", "job 2", passport=passport)


async def test_while_a_plan_is_built_anew_its_onnx_serves_and_then_the_new_one_does(
    store: Store,
) -> None:
    plan = promoted_plan(store)
    problem = needs_driver("590")
    async with bench_of(store, problem) as bench:
        assert bench.version() == first(store).sha256
        assert bench.pool.default.served.fallback == "built for driver 580, here 590"
        await until(lambda: bool(bench.jobs.asked))
        (asked,) = bench.jobs.asked
        assert (asked.format, asked.precision, asked.max_batch) == ("tensorrt", "fp16", 8)
        assert asked.artefact_id == first(store).id
        (row,) = await bench.serving.listing()
        assert row["rebuilding"]
        new = built(store, "590")
        bench.jobs.made = lambda: new.id
        async with asyncio.TaskGroup() as group:
            group.create_task(frames(bench, 20))
            bench.jobs.go.set()
        await until(lambda: bench.version() == new.sha256)
        served = bench.pool.default.served
        assert served.fallback is None
        await until(lambda: "built" in bench.seen.told)
        (row,) = await bench.serving.listing()
        assert not row["rebuilding"]
        assert (row["artefact_id"], row["rollback_to"]["artefact_id"]) == (new.id, first(store).id)
    standing = store.promotions.standing("cam")
    assert standing is not None
    assert standing.artefact_id == plan.id, "nobody has promoted anything"
    async with bench_of(store, problem) as bench:
        assert (bench.version(), bench.jobs.asked) == (new.sha256, [])


async def test_a_rollback_to_a_plan_that_was_built_anew_stands(store: Store) -> None:
    plan, other = promoted_plan(store), made(store, b"int8")
    async with bench_of(store, needs_driver("590")) as bench:
        bench.jobs.made = lambda: built(store, "590").id
        bench.jobs.go.set()
        await until(lambda: "built" in bench.seen.told)
        new = bench.version()
        await bench.serving.promote("cam", other.id, force=True, reason="a try")
        assert (await bench.serving.roll_back("cam")).artefact_id == plan.id
        assert bench.version() == new
        await bench.serving.roll_back("cam")
        assert bench.version() == first(store).sha256
        await asyncio.sleep(2 * rebuild.LOOK_EVERY_S)
        assert bench.version() == first(store).sha256
        assert len(bench.jobs.asked) == 1
    assert store.promotions.standing("cam") is None


async def test_two_machines_with_one_database_leave_each_others_choices_alone(store: Store) -> None:
    promoted_plan(store)
    for driver in ("590", "600", "590"):
        async with bench_of(store, needs_driver(driver)) as bench:
            bench.jobs.made = partial(lambda driver: built(store, driver).id, driver)
            bench.jobs.go.set()
            await until(lambda: bench.pool.default.fallback is None)
            passport = bench.pool.default.spec.passport
            assert passport is not None
            assert passport.driver == driver
    assert bench.jobs.asked == [], "the second time it is there"
    assert len(store.promotions.history("cam")) == 1


async def test_a_plan_that_comes_out_byte_for_byte_the_same_fits_again(store: Store) -> None:
    plan = promoted_plan(store)
    async with bench_of(store, needs_driver("590")) as bench:
        bench.jobs.made = lambda: built(store, "590", b"plan").id
        bench.jobs.go.set()
        await until(lambda: bench.version() == plan.sha256)
        await until(lambda: bench.seen.told == ["swapped", "built"])
        assert bench.pool.default.fallback is None


@pytest.mark.parametrize(
    "request_",
    [
        ConvertRequest(model="cam", format="tensorrt", dataset="people", calibration_pictures=50),
        BenchmarkRequest(model="cam", engines=["tensorrt"], precisions=["int8"], dataset="people"),
    ],
)
async def test_an_int8_plan_is_built_anew_with_the_pictures_it_was_made_with(
    store: Store, request_: ConvertRequest | BenchmarkRequest
) -> None:
    kind: Kind = "convert" if isinstance(request_, ConvertRequest) else "benchmark"
    job = JobRecords(store.database).add(kind, request_, "nobody")
    promoted_plan(store, "int8", f"job {job.id}")
    async with bench_of(store, needs_driver("590")) as bench:
        await until(lambda: bool(bench.jobs.asked))
    (asked,) = bench.jobs.asked
    assert (asked.dataset, asked.precision, asked.artefact_id) == (
        *("people", "int8"),
        first(store).id,
    )
    assert (asked.max_batch, asked.input_size_wh) == (8, (64, 64))
    assert asked.calibration_pictures == (50 if kind == "convert" else 200)


async def test_a_job_of_a_newer_database_with_the_same_number_is_not_taken_for_it(
    store: Store,
) -> None:
    promoted_plan(store, origin="job 1")
    asked = ConvertRequest(model="other", format="tensorrt", dataset="animals")
    assert JobRecords(store.database).add("convert", asked, "nobody").id == 1
    async with bench_of(store, needs_driver("590")) as bench:
        await until(lambda: bool(bench.jobs.asked))
    assert bench.jobs.asked[0].dataset is None


@pytest.mark.parametrize("job_is_there", [False, True])
async def test_what_cant_be_built_again_is_said_once_and_left(
    store: Store, caplog: pytest.LogCaptureFixture, job_is_there: bool
) -> None:
    asked = ConvertRequest(model="cam", format="tensorrt", precision="int8", dataset="people")
    job = JobRecords(store.database).add("convert", asked, "nobody")
    promoted_plan(store, "int8", f"job {job.id}" if job_is_there else "job 99")
    async with bench_of(store, needs_driver("590")) as bench:
        bench.jobs.code = "unknown"  # the data set is gone
        bench.jobs.go.set()
        await until(lambda: bench.seen.told == ["failed"])
        assert len(bench.jobs.asked) == job_is_there
        (row,) = await bench.serving.listing()
        assert not row["rebuilding"]
        assert row["fallback"] == "built for driver 580, here 590"
        next(bench.plans.fit(store.models.find("cam")))  # as when it is loaded anew
        assert bench.plans.stale
        assert not (await bench.serving.listing())[0]["rebuilding"]
        await until(lambda: not bench.plans.stale)
        assert len(bench.jobs.asked) == job_is_there
    said = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert len(said) == 1
    assert "sightline convert cam --format tensorrt --precision int8" in said[0]


async def test_a_build_that_fits_no_better_waits_an_hour_like_one_that_failed(
    store: Store,
) -> None:
    promoted_plan(store)
    async with bench_of(store, needs_driver("590")) as bench:
        bench.jobs.made = lambda: built(store, "580").id
        bench.jobs.go.set()
        await until(lambda: "failed" in bench.seen.told)
        await asyncio.sleep(2 * rebuild.LOOK_EVERY_S)
        assert len(bench.jobs.asked) == 1
        (row,) = await bench.serving.listing()
        assert (row["rebuilding"], row["artefact_id"]) == (False, first(store).id)


async def test_a_build_that_fails_is_counted_and_not_tried_again_at_once(store: Store) -> None:
    promoted_plan(store)
    async with bench_of(store, needs_driver("590")) as bench:
        bench.jobs.go.set()
        await until(lambda: bench.seen.told == ["failed"])
        await asyncio.sleep(2 * rebuild.LOOK_EVERY_S)
        assert len(bench.jobs.asked) == 1
        await frames(bench, 2)
