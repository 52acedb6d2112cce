"""What is loaded where a promoted file doesn't load: what served before it, and why is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sightline_backend.store.store import Store
from sightline_engines.errors import EngineError
from sightline_engines.types import ModelSpec
from tests.backend.serving_bench import (
    bench_of,
    filled_store,
    first,
    frames,
    made,
    needs_driver,
    promoted_plan,
)

TOO_OLD = "The driver is too old."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with filled_store(tmp_path) as store:
        yield store


async def test_a_file_that_was_never_promoted_and_doesnt_load_is_an_error(store: Store) -> None:
    with pytest.raises(EngineError, match="too old"):
        async with bench_of(store, broken=lambda _: True):
            pass


async def test_after_a_restart_what_served_before_stands_in_for_what_doesnt_load(
    store: Store,
) -> None:
    older, newer = made(store, b"older"), made(store, b"newer")
    for artefact in (older, newer):
        store.promotions.add("cam", artefact.id, engine="openvino")
    async with bench_of(store, broken=lambda spec: spec.sha256 == newer.sha256) as bench:
        assert bench.version() == older.sha256
        assert bench.pool.default.spec.engine == "openvino"
        await frames(bench, 2)
        (row,) = await bench.serving.listing()
        assert (row["artefact_id"], row["fallback"]) == (older.id, TOO_OLD)
    async with bench_of(store, broken=lambda spec: spec.sha256 != first(store).sha256) as bench:
        assert (bench.version(), bench.pool.default.spec.engine) == (first(store).sha256, "auto")
        assert bench.pool.default.served.fallback == TOO_OLD
    standing = store.promotions.standing("cam")
    assert standing is not None
    assert standing.artefact_id == newer.id, "it stays in force, and is tried at the next start"


async def test_if_nothing_loads_the_first_reason_is_told(store: Store) -> None:
    store.promotions.add("cam", made(store, b"newer").id)
    with pytest.raises(EngineError, match="too old"):
        async with bench_of(store, broken=lambda _: True):
            pass


async def test_a_promotion_without_an_engine_outlives_a_setting_that_doesnt_suit_it(
    store: Store,
) -> None:
    newer = made(store, b"newer")
    store.promotions.add("cam", newer.id)

    def unsuited(spec: ModelSpec) -> bool:
        return spec.engine == ""  # it gets what the server is set to

    async with bench_of(store, engine="tensorrt", broken=unsuited) as bench:
        assert (bench.version(), bench.pool.default.spec.engine) == (newer.sha256, "auto")
        assert bench.pool.default.served.fallback == TOO_OLD


@pytest.mark.parametrize(("engine", "tries"), [("auto", 1), ("openvino", 2)])
async def test_a_file_that_doesnt_load_is_tried_once_on_each_engine(
    store: Store, engine: str, tries: int
) -> None:
    newer = made(store, b"newer")
    store.promotions.add("cam", newer.id)
    tried: list[str] = []

    def broken(spec: ModelSpec) -> bool:
        tried.append(spec.sha256)
        return spec.sha256 == newer.sha256

    async with bench_of(store, engine=engine, broken=broken):
        assert tried == [newer.sha256] * tries + [first(store).sha256]


async def test_a_rollback_comes_back_whatever_the_server_is_set_to_now(store: Store) -> None:
    promoted_plan(store)

    def unsuited(spec: ModelSpec) -> bool:
        return spec.engine == ""

    async with bench_of(store, needs_driver("590"), engine="tensorrt", broken=unsuited) as bench:
        await bench.serving.roll_back("cam")
        assert (bench.version(), bench.pool.default.spec.engine) == (first(store).sha256, "auto")
        (row,) = await bench.serving.listing()
        assert (row["fallback"], row["rebuilding"]) == (TOO_OLD, False)


async def test_on_a_server_set_to_tensorrt_a_plans_onnx_runs_on_what_reads_it(
    store: Store,
) -> None:
    promoted_plan(store)
    async with bench_of(store, needs_driver("590")) as bench:
        assert (bench.version(), bench.pool.default.spec.engine) == (first(store).sha256, "auto")


async def test_who_promotes_gets_that_file_or_hears_why_not(store: Store) -> None:
    older, newer = made(store, b"older"), made(store, b"newer")
    async with bench_of(store) as bench:
        await bench.serving.promote("cam", older.id, force=True, reason="a try")
        bench.broken.add(newer.sha256)
        with pytest.raises(EngineError, match="too old"):
            await bench.serving.promote("cam", newer.id, force=True, reason="a try")
        assert bench.version() == older.sha256
        assert bench.pool.default.fallback is None
