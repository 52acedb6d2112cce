"""Promotions, the gate, rollbacks and trials in the shadow, around a real store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from sightline_backend.errors import AccuracyGateError, NotPossibleError, UnknownError
from sightline_backend.handlers import add_error_handlers
from sightline_backend.routes import promote
from sightline_backend.settings import Settings
from sightline_backend.store.store import Store
from sightline_engines.agreement import Boxes, agreement
from sightline_engines.errors import EngineError
from sightline_engines.types import Detections
from tests.backend.running import until
from tests.backend.serving_bench import bench_of, filled_store, first, frames, made, measured


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with filled_store(tmp_path) as store:
        yield store


async def test_a_promotion_serves_is_recorded_and_is_in_force_after_a_restart(store: Store) -> None:
    other = made(store, b"int8")
    measured(store, first(store), 0.40)
    measured(store, other, 0.395)
    async with bench_of(store) as bench:
        change = await bench.serving.promote("cam", other.id, engine="openvino", reason="faster")
        assert bench.version() == other.sha256
        assert change.accuracy_loss == pytest.approx(0.005)
        assert (change.artefact_id, change.replaced_artefact_id) == (other.id, first(store).id)
        (row,) = await bench.serving.listing()
        assert (row["artefact_id"], row["precision"], row["rebuilding"]) == (
            other.id,
            "int8",
            False,
        )
        assert row["rollback_to"]["artefact_id"] == first(store).id
        assert row["rollback_to"]["warm"]
        assert bench.seen.told == ["swapped"]
        with pytest.raises(NotPossibleError, match="already"):
            await bench.serving.promote("cam", other.id, engine="openvino")
    standing = store.promotions.standing("cam")
    assert standing is not None
    assert (standing.artefact_id, standing.engine, standing.reason) == (
        *(other.id, "openvino"),
        "faster",
    )
    async with bench_of(store) as bench:
        assert bench.version() == other.sha256
        assert bench.pool.default.spec.engine == "openvino"


async def test_a_rollback_brings_back_what_served_without_loading_it(store: Store) -> None:
    other = made(store, b"int8")
    async with bench_of(store) as bench:
        await bench.serving.promote("cam", other.id, force=True, reason="a try")
        loads = len(bench.engines)
        change = await bench.serving.roll_back("cam")
        assert (change.artefact_id, bench.version()) == (first(store).id, first(store).sha256)
        assert len(bench.engines) == loads
        assert bench.seen.told == ["swapped", "rolled_back"]
        with pytest.raises(NotPossibleError, match="nothing to go back to"):
            await bench.serving.roll_back("cam")
    assert store.promotions.standing("cam") is None


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ([], [], "Nobody has measured .*sightline benchmark"),
        ([("a", 0.5)], [("b", 0.5)], "Nobody has measured"),
        ([("a", 0.5)], [("a", 0.45)], r"loses 0\.0500 mAP50-95 .* at most 0\.01"),
        ([("a", 0.1), ("a", 0.5)], [("a", 0.9), ("a", 0.45)], r"loses 0\.0500"),
    ],
)
async def test_the_gate_says_what_is_lost_and_how_to_pass_it(
    store: Store, was: list[tuple[str, float]], becomes: list[tuple[str, float]], said: str
) -> None:
    other = made(store, b"int8")
    for artefact, figures in ((first(store), was), (other, becomes)):
        for sha, value in figures:
            measured(store, artefact, value, sha)
    async with bench_of(store) as bench:
        with pytest.raises(AccuracyGateError, match=said) as refused:
            await bench.serving.promote("cam", other.id)
        assert "--force" in refused.value.message
        assert bench.seen.told == ["refused"]
        with pytest.raises(NotPossibleError, match="needs a reason"):
            await bench.serving.promote("cam", other.id, force=True, reason=" ")
        await bench.serving.promote("cam", other.id, force=True, reason="half the time")
    standing = store.promotions.standing("cam")
    assert standing is not None
    assert standing.forced


async def test_another_file_of_the_same_version_and_precision_need_not_be_measured(
    store: Store,
) -> None:
    twin = made(store, b"simplified", precision=first(store).precision)
    async with bench_of(store) as bench:
        change = await bench.serving.promote("cam", twin.id)
        assert change.accuracy_loss is None


async def test_what_cant_be_loaded_is_not_promoted(store: Store) -> None:
    other = made(store, b"int8")
    async with bench_of(store) as bench:
        bench.broken.add(other.sha256)
        with pytest.raises(EngineError, match="driver is too old"):
            await bench.serving.promote("cam", other.id, force=True, reason="a try")
        assert bench.version() == first(store).sha256
        assert bench.seen.told == ["failed"]
        with pytest.raises(UnknownError):
            await bench.serving.promote("cam", 10_000)
        with pytest.raises(NotPossibleError, match="doesn't run on 'tensorrt'"):
            await bench.serving.promote("cam", other.id, engine="tensorrt")
    assert store.promotions.standing("cam") is None


async def test_who_stops_waiting_for_a_promotion_leaves_it_whole(store: Store) -> None:
    other = made(store, b"int8")
    async with bench_of(store) as bench:
        wish = asyncio.create_task(
            bench.serving.promote("cam", other.id, force=True, reason="a try")
        )
        await asyncio.sleep(0)
        wish.cancel()
        await until(lambda: bench.version() == other.sha256)
    assert store.promotions.standing("cam") is not None


async def test_a_trial_in_the_shadow_reports_how_the_two_differ(store: Store) -> None:
    other = made(store, b"int8")
    async with bench_of(store) as bench:
        await bench.serving.begin_shadow("cam", other.id, share=1.0, seconds=None)
        with pytest.raises(NotPossibleError, match="end it first"):
            await bench.serving.begin_shadow("cam", other.id, share=1.0, seconds=None)
        await frames(bench, 20)
        await until(lambda: bool(bench.serving.shadow("cam")["compared"] > 3))
        report = bench.serving.end_shadow("cam")
        assert report["only_candidate"] == {"face": report["compared"]}
        assert report["only_serving"] == {}
        assert report["agreeing"] == pytest.approx(2 / 3)
        assert report["mean_iou"] == pytest.approx(1.0, abs=1e-3)
        assert report["infer_ms"]["serving"]["p95"] >= report["infer_ms"]["serving"]["p50"]
        await until(lambda: not bench.serving.shadow("cam")["running"])
        assert set(bench.seen.compared) == {False}
        assert await asyncio.to_thread(bench.engines[-1].let_go.wait, 5)


async def test_a_trial_whose_candidate_is_being_loaded_is_there_and_can_be_ended(
    store: Store,
) -> None:
    other = made(store, b"int8")
    async with bench_of(store) as bench:
        gate = bench.held[other.sha256] = threading.Event()
        begun = asyncio.create_task(
            bench.serving.begin_shadow("cam", other.id, share=1.0, seconds=None)
        )
        try:
            await until(lambda: bool(bench.serving._shadows))
            with pytest.raises(NotPossibleError, match="end it first"):
                await bench.serving.begin_shadow("cam", other.id, share=1.0, seconds=None)
            assert bench.serving.end_shadow("cam")["compared"] == 0
        finally:
            gate.set()
        with pytest.raises(NotPossibleError, match="before it had begun"):
            await begun
        await bench.serving.begin_shadow("cam", other.id, share=1.0, seconds=None)
        assert bench.serving.shadow("cam")["running"]


async def test_what_serves_can_be_changed_while_a_candidate_loads(store: Store) -> None:
    other, slow = made(store, b"int8"), made(store, b"slow")
    async with bench_of(store) as bench:
        gate = bench.held[slow.sha256] = threading.Event()
        begun = asyncio.create_task(
            bench.serving.begin_shadow("cam", slow.id, share=1.0, seconds=None)
        )
        try:
            await until(lambda: bool(bench.serving._shadows))
            async with asyncio.timeout(10):
                await bench.serving.promote("cam", other.id, force=True, reason="a try")
        finally:
            gate.set()
        with pytest.raises(NotPossibleError, match="before it had begun"):
            await begun
        assert bench.version() == other.sha256


async def test_a_trial_whose_candidate_cant_be_loaded_leaves_no_trial(store: Store) -> None:
    other = made(store, b"int8")
    async with bench_of(store) as bench:
        bench.broken.add(other.sha256)
        with pytest.raises(EngineError, match="too old"):
            await bench.serving.begin_shadow("cam", other.id, share=1.0, seconds=None)
        with pytest.raises(UnknownError, match="no trial"):
            bench.serving.shadow("cam")


async def test_a_file_that_the_settings_name_is_listed_without_a_history(
    store: Store, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(first(store).path.read_bytes())
    mine.with_suffix(".json").write_text('{"family": "end2end", "labels": ["person", "face"]}')
    async with bench_of(store, model=str(mine)) as bench:
        (row,) = await bench.serving.listing()
        assert (row["model"], row["artefact_id"], row["rollback_to"]) == ("mine", None, None)
        promote.ServingAnswer.model_validate(row)


async def test_a_candidate_that_is_stuck_holds_up_no_answer(store: Store) -> None:
    other = made(store, b"int8")
    async with bench_of(store) as bench:
        await bench.serving.begin_shadow("cam", other.id, share=1.0, seconds=None)
        with bench.engines[-1].held():
            await frames(bench, 20)
            report = bench.serving.shadow("cam")
            assert (report["compared"], report["skipped"] >= 10) == (0, True)


async def test_a_trial_ends_by_time_and_at_a_promotion(store: Store) -> None:
    other = made(store, b"int8")
    async with bench_of(store) as bench:
        await bench.serving.begin_shadow("cam", other.id, share=0.5, seconds=0.05)
        await until(lambda: not bench.serving.shadow("cam")["running"])
        await bench.serving.begin_shadow("cam", other.id, share=0.5, seconds=None)
        await bench.serving.promote("cam", other.id, force=True, reason="a try")
        await until(lambda: not bench.serving.shadow("cam")["running"])


async def test_the_calls_answer_what_was_done_and_errors_with_their_codes(store: Store) -> None:
    other = made(store, b"int8")
    app = FastAPI()
    app.include_router(promote.router)
    add_error_handlers(app)
    async with bench_of(store) as bench:
        app.state.service = SimpleNamespace(
            serving=bench.serving, settings=Settings(models_dir=store.folder)
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            refused = await http.post(
                "/api/models/cam/promote", json={"artefact_id": other.id, "engine": "openvino"}
            )
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "accuracy_gate")
            asked = {"artefact_id": other.id, "share": 1.0}
            shadow = await http.post("/api/models/cam/shadow", json=asked)
            assert (shadow.status_code, shadow.json()["running"]) == (200, True)
            assert (await http.get("/api/serving")).json()[0]["shadow"]["artefact_id"] == other.id
            assert (await http.delete("/api/models/cam/shadow")).status_code == 200
            forced = {"artefact_id": other.id, "force": True, "reason": "a try"}
            done = (await http.post("/api/models/cam/promote", json=forced)).json()
            assert done["served"]["precision"] == "fp32", "the fake engine says so"
            assert (await http.get("/api/serving")).json()[0]["reason"] == "a try"
            back = (await http.post("/api/models/cam/rollback")).json()
            assert back["artefact_id"] == first(store).id
            assert (await http.get("/api/models/none/shadow")).status_code == 404


def boxes(*rows: tuple[float, float, int]) -> Boxes:
    """Return boxes at some x, with a score and a class."""
    xyxy = np.array([[x, 0, x + 100, 100] for x, _, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in rows], np.float32)
    classes = np.array([c for _, _, c in rows], np.int32)
    return Boxes(Detections(xyxy, scores, classes), ("person", "face"))


@pytest.mark.parametrize(
    ("one", "other", "agreeing", "counted"),
    [
        (boxes(), boxes(), 0, 0),
        (boxes((0, 0.9, 0)), boxes(), 0, 1),
        (boxes((0, 0.9, 0)), boxes((2, 0.8, 0)), 2, 2),
        (boxes((0, 0.9, 0)), boxes((2, 0.8, 1)), 0, 2),
        (boxes((0, 0.9, 0)), boxes((50, 0.8, 0)), 0, 2),
        (boxes((0, 0.9, 0)), boxes((2, 0.8, 0), (1, 0.7, 0)), 2, 3),
        (boxes((0, 0.27, 0)), boxes(), 0, 0),
    ],
)
def test_boxes_agree_by_class_and_overlap(
    one: Boxes, other: Boxes, agreeing: int, counted: int
) -> None:
    found = agreement(one, other, 0.25, 0.9)
    assert (found.agreeing, found.counted) == (agreeing, counted)
