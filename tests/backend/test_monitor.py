"""GET /api/monitor: the figures of a real server, and what it says is wrong."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from dataclasses import fields
from functools import partial
from typing import Any

import pytest

from sightline_backend import reader
from sightline_backend.routes.monitor import MOST_POINTS, _written, answer, thinned
from sightline_monitoring.figures import Figures
from sightline_monitoring.history import History, Point
from sightline_monitoring.reading import REFUSALS, RESTARTS, read
from sightline_monitoring.span import Reading
from tests.backend.running import Backend, running
from tests.fakes import FakeEngine

MACHINE = ("loop_lag", "memory", "memory_limit", "disk", "gpu_hot", "gpu_full", "gpu_memory")


async def look(backend: Backend) -> None:
    """Take a reading now, on the thread of the server's own, which come every two seconds."""
    service = backend.service
    service.gauges.copy()
    registry = service.telemetry.metrics.registry
    await service.reader.run(lambda: service.history.take(time.monotonic(), read(registry)))


async def asked(backend: Backend, minutes: float = 5) -> Any:
    response = await backend.http.get("/api/monitor", params={"minutes": minutes})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    return response.json()


def wrong(told: Any) -> list[str]:
    """Return what is wrong with the server, not with the machine that runs the tests."""
    codes = [one["code"] for one in told["trouble"]]
    assert told["status"] == codes[0] if codes else told["status"] in ("healthy", "idle")
    return [code for code in codes if code not in MACHINE]


async def until_looked(backend: Backend) -> None:
    """Wait for the server's own first reading, so that none comes between two of the test's."""
    while backend.service.history.latest is None:  # noqa: ASYNC110  it has no event
        await asyncio.sleep(0.01)


async def test_an_idle_server_says_so() -> None:
    async with running() as backend:
        await until_looked(backend)
        await look(backend)
        told = await asked(backend)
    assert wrong(told) == []
    assert told["status"] in ("idle", *MACHINE)
    assert told["now"]["engine_ready"] == 1
    assert told["now"]["streams"] == 0
    assert told["now"]["age_p95_s"] is None
    assert told["now"]["gpu_share"] is None or 0 <= told["now"]["gpu_share"] <= 1


async def test_every_figure_has_a_series_as_long_as_the_times() -> None:
    async with running() as backend:
        await until_looked(backend)
        await look(backend)
        told = await asked(backend)
    assert set(told["series"]) == set(told["now"]) == {f.name for f in fields(Figures)}
    assert {len(values) for values in told["series"].values()} == {len(told["times"])}
    assert told["times"] == sorted(told["times"])
    assert told["times"][-1] == pytest.approx(time.time(), abs=10)


async def test_traffic_is_in_the_figures() -> None:
    started_s = time.monotonic()
    async with running(FakeEngine(seconds=0.02)) as backend:
        await until_looked(backend)
        async with backend.camera() as camera:
            for seq in range(20):
                await camera.detect(seq)
            await look(backend)
            told = await asked(backend)
            took_s = time.monotonic() - started_s
    now = told["now"]
    assert wrong(told) == []
    assert told["status"] in ("healthy", *MACHINE)
    assert now["answered_fps"] * took_s >= 19.9, "the rate is over less than the whole time"
    assert now["streams"] == 1
    assert (now["owed_frames"], now["missed_frames"]) == (20, 0)
    assert 0.015 < now["age_p50_s"] <= now["age_p95_s"] <= now["age_p99_s"] < 5
    assert 0.02 <= now["infer_s"] < 1, "the engine sleeps for as long"
    assert now["deadline_s"] == 5
    assert now["batch_size"] == 1
    assert 0 < now["busy_share"] <= 1


async def test_a_stream_that_gets_no_answers_is_starved() -> None:
    engine = FakeEngine()
    async with running(engine) as backend:
        await until_looked(backend)
        async with backend.camera() as camera:
            with engine.held():
                for seq in range(30):  # each replaces the one before it
                    await camera.send(seq)
                while await _dropped(backend) < 20:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await look(backend)
                told = await asked(backend)
            for _ in range(30):
                await camera.recv()
    assert told["status"] == "starved"
    assert told["trouble"][0]["severity"] == "ticket", "frames beyond a promise are owed no answer"
    assert "1 stream is open" in told["trouble"][0]["message"]


async def test_a_server_that_takes_nothing_says_why() -> None:
    async with running() as backend:
        await look(backend)
        backend.service.sessions.stopping = True
        told = await asked(backend)
    assert told["status"] == "not_ready"
    assert "The server is stopping" in told["trouble"][0]["message"]


async def test_a_single_refusal_is_no_trouble_but_four_in_a_minute_are() -> None:
    async with running(max_streams=1) as backend:
        await until_looked(backend)
        async with backend.camera() as camera:
            await camera.detect(0)
            for times, codes in ((1, []), (3, ["refusing"])):
                for _ in range(times):
                    await _refused(backend)
                await look(backend)
                told = await asked(backend)
                assert wrong(told) == codes
    (message,) = (one["message"] for one in told["trouble"] if one["code"] == "refusing")
    assert "4 times in the last minute" in message
    assert "as many streams as there may be" in message


@pytest.mark.parametrize(
    ("counted", "told"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({f"{REFUSALS}/closing": 50}, [], id="a server that stops"),
        pytest.param({f"{REFUSALS}/closing": 50, f"{REFUSALS}/rate": 5}, ["5 times"], id="rate"),
        pytest.param({f"{RESTARTS}/hung": 1, f"{RESTARTS}/crashed": 2}, ["3 times"], id="restarts"),
    ],
)
def test_refusals_and_restarts_are_counted(counted: dict[str, float], told: list[str]) -> None:
    history = History()
    history.take(0.0, {})
    history.take(2.0, counted)
    trouble = answer(history, None, None, 300).trouble
    assert [re.findall(r"\d times", one.message)[0] for one in trouble] == told


async def test_streams_that_send_bad_pictures_starve_by_their_own_fault() -> None:
    async with running() as backend:
        await until_looked(backend)
        async with backend.camera() as camera:
            for seq in range(5):
                await camera.send(seq, b"no picture")
                await camera.recv()
            await look(backend)
            told = await asked(backend)
    assert wrong(told) == ["bad_frames"]
    assert told["trouble"][-1]["severity"] == "note"


async def test_an_answer_is_written_once_for_all_who_ask_until_the_next_reading() -> None:
    async with running() as backend:
        await until_looked(backend)
        before = _written.cache_info().misses
        await asyncio.gather(*(asked(backend) for _ in range(10)))
        # The server's own reading may come in between.
        assert 1 <= _written.cache_info().misses - before <= 2
        await look(backend)
        newer = await asked(backend)
        assert newer["times"][-1] == pytest.approx(time.time(), abs=1.5)


async def test_a_driver_that_hangs_is_a_refusal_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "LIMIT_S", 0.05)
    goes_on = threading.Event()
    async with running() as backend:
        hangs = asyncio.create_task(backend.service.reader.run(goes_on.wait))
        response = await backend.http.get("/api/monitor")
        goes_on.set()
        await asyncio.wait([hangs])
        assert hangs.done()
        assert isinstance(hangs.exception(), TimeoutError)
    assert response.status_code == 503
    assert "hangs" in response.json()["error"]["message"]


def test_before_the_first_reading_the_answer_is_empty_and_whole() -> None:
    empty = answer(History(), None, None, 300)
    assert (empty.status, empty.times) == ("idle", [])
    assert empty.now == Figures()
    assert set(empty.series) == {field.name for field in fields(Figures)}


@pytest.mark.parametrize("minutes", ["0", "-1", "0.5", "16", "nan", "x"])
async def test_a_span_that_is_not_kept_is_refused(minutes: str) -> None:
    async with running() as backend:
        response = await backend.http.get("/api/monitor", params={"minutes": minutes})
    assert response.status_code == 422
    assert "minutes" in response.json()["error"]["message"]


async def test_a_full_quarter_of_an_hour_is_a_small_answer() -> None:
    async with running() as backend:
        await until_looked(backend)
        reading = backend.service.history.latest
        assert reading is not None
        await backend.service.reader.run(partial(_fill, backend.service.history, reading))
        full = await backend.http.get("/api/monitor", params={"minutes": 15})
        one = await asked(backend, 1)
    assert MOST_POINTS / 2 < len(full.json()["times"]) <= MOST_POINTS
    assert len(full.content) < 100_000
    assert len(one["times"]) == pytest.approx(30, abs=2)


def test_which_points_are_shown_stays_the_same_as_time_goes_on() -> None:
    history = History()
    for tick in range(451):
        history.take(2.0 * tick, {})
    points = history.points(900)
    early, late = thinned(points[:-9], 2.0), thinned(points, 2.0)
    assert {p.at_s for p in early[:-1]} <= {p.at_s for p in late}
    assert late[-1] is points[-1]


@pytest.mark.parametrize("count", [450, 451, 452])
@pytest.mark.parametrize("every_s", [2.0, 1.999, 2.01])
def test_no_more_points_are_shown_than_promised(count: int, every_s: float) -> None:
    points = [Point(every_s * i, Figures()) for i in range(count)]
    shown = thinned(points, 2.0)
    assert MOST_POINTS / 2 < len(shown) <= MOST_POINTS
    assert shown[-1] is points[-1]


@pytest.mark.parametrize("count", [0, 1, MOST_POINTS])
def test_few_points_are_shown_as_they_are(count: int) -> None:
    points = [Point(2.0 * i, Figures()) for i in range(count)]
    assert thinned(points, 2.0) == points


def _fill(history: History, reading: Reading) -> None:
    """Let a quarter of an hour pass."""
    now_s = time.monotonic()
    for back in range(450, 0, -1):
        history.take(now_s - 2 * back, reading)


async def _refused(backend: Backend) -> None:
    with pytest.raises(AssertionError, match="busy"):  # another message than its hello
        async with backend.camera():
            pass


async def _dropped(backend: Backend) -> float:
    return await backend.metric("sightline_frames_total", result="dropped")
