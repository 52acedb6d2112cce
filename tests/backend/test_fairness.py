"""Who gets how much of an engine: shares, promises, uploads, with a fake clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_backend.admission import Load, RateWish, admit
from sightline_backend.errors import Refused
from sightline_backend.scheduler import LEAST_FPS, Scheduler
from sightline_backend.slot import SPARE
from tests.backend.test_scheduler import scheduler


def played(
    one: Scheduler[str],
    rates: Sequence[float],
    seconds: float = 20.0,
    ages_s: Sequence[float] = (),
    uploads: bool = False,
) -> Counter[int]:
    """Have cameras of some rates send to ten frames a second of engine; count what they got.

    `ages_s` is how old the frames of each are when they come; `uploads` always wait, too.
    """
    ages_s = ages_s or [0.0] * len(rates)
    arrivals = sorted(
        ((i + 0.1 * stream) / rate, stream)
        for stream, rate in enumerate(rates)
        for i in range(round(seconds * rate))
    )
    served: Counter[int] = Counter()
    now_s, at = 0.0, 0
    while now_s < seconds:
        while at < len(arrivals) and arrivals[at][0] <= now_s:
            sent_s, stream = arrivals[at]
            one.offer(stream, "x", sent_s + 0.5 - ages_s[stream], now_s)
            at += 1
        if uploads:
            one.enqueue("upload", float("inf"))
        batch = one.next(now_s).batch
        served.update(-1 if ticket.stream is None else ticket.stream for ticket in batch)
        now_s += 0.100 if batch else 0.001
        if batch:
            one.ran(batch, 0.100, now_s)
    return served


@pytest.mark.parametrize("rates", [(60,), (60, 5, 5, 5), (30, 30, 30), (100, 1)])
def test_under_overload_every_stream_gets_its_fair_share(rates: tuple[int, ...]) -> None:
    """Ten frames a second of engine: slow cameras get all they send, fast ones share the rest."""
    served = played(scheduler({1: 0.100}, streams=len(rates)), rates)
    fair = _max_min_share(rates, capacity=10.0)
    for stream, share in enumerate(fair):
        assert served[stream] >= 0.85 * share * 20.0, (served, fair)


@pytest.mark.parametrize("ages_s", [(0.0,) * 5, (0.0, 0.05, 0.1, 0.2, 0.3), (0.3, 0, 0, 0, 0)])
def test_how_old_frames_are_when_they_come_gives_no_stream_more_than_its_share(
    ages_s: tuple[float, ...],
) -> None:
    """The sender tells the age: a lie, or a slow network, must gain nothing."""
    served = played(scheduler({1: 0.100}, streams=5), (60.0,) * 5, ages_s=ages_s)
    assert max(served.values()) <= 1.1 * 2.0 * 20.0, served
    assert min(served.values()) >= 0.9 * 2.0 * 20.0, served


def test_who_costs_more_engine_time_gets_fewer_frames() -> None:
    one = scheduler({1: 0.100}, streams=2)
    served: Counter[int | None] = Counter()
    now_s = 0.0
    while now_s < 20.0:
        for stream in (0, 1):
            one.offer(stream, "x", now_s + 5.0, now_s)
        batch = one.next(now_s).batch
        dear = batch[0].stream == 1  # its pictures take three times as long to decode
        served[batch[0].stream] += 1
        now_s += 0.400 if dear else 0.100
        one.ran(batch, 0.100, now_s, beside_s=[0.300 if dear else 0.0])
    assert served[0] == pytest.approx(4 * served[1], rel=0.1)


@pytest.mark.parametrize("uploads", [False, True])
@pytest.mark.parametrize("crowd_fps", [None, 0.1])
@pytest.mark.parametrize("crowd", [(), (30,) * 3, (60,) * 40, (5,) * 12])
def test_a_promised_rate_is_kept_whatever_the_others_send(
    crowd: tuple[int, ...], crowd_fps: float | None, uploads: bool
) -> None:
    one = scheduler({1: 0.100})
    one.open(0, fps=4.0)
    one.open(1, fps=3.0)
    admitted = [4.0, 3.0]
    for rate in crowd:
        with suppress(Refused):
            load = Load(one.capacity_fps, one.reserved_fps(0.0))
            one.open(len(admitted), admit(RateWish(crowd_fps), load))
            admitted.append(rate)
    served = played(one, admitted, uploads=uploads)
    assert served[0] >= 0.95 * 4.0 * 20.0, served
    assert served[1] >= 0.95 * 3.0 * 20.0, served
    if uploads:
        assert served[-1] >= 0.09 * 10.0 * 20.0, served


@pytest.mark.parametrize("uploads", [False, True])
def test_streams_without_a_promise_never_break_one_however_many_they_are(uploads: bool) -> None:
    one = scheduler({1: 0.100})
    one.open(0, fps=4.0)
    one.open(1, fps=3.0)
    for stream in range(2, 42):
        one.open(stream)
    served = played(one, (4.0, 3.0, *(60.0,) * 40), uploads=uploads)
    assert served[0] >= 0.95 * 4.0 * 20.0, served
    assert served[1] >= 0.95 * 3.0 * 20.0, served


def test_garbage_that_never_reaches_the_engine_does_not_keep_uploads_from_it() -> None:
    one = scheduler({1: 0.010}, streams=1)
    one.enqueue("upload", float("inf"))
    now_s, ran = 0.0, False
    while now_s < 1.0 and not ran:
        one.offer(0, "garbage", now_s + 0.5, now_s)
        batch = one.next(now_s).batch
        ran = batch[0].stream is None
        now_s += 0.002
        one.ran(batch, None, now_s, beside_s=[0.002] * len(batch))
    assert ran


def test_what_of_a_promise_is_not_used_can_be_promised_to_others() -> None:
    one = scheduler({1: 0.100})
    one.open(0, fps=8.0)
    for second in range(12):
        one.offer(0, "now and then", second + 0.5, float(second))
    assert one.reserved_fps(5.0) == 8.0
    assert one.reserved_fps(12.0) == pytest.approx(SPARE * 1.0)
    assert one.reserved_fps(100.0) == LEAST_FPS  # it stopped altogether


def test_who_sends_more_than_was_promised_takes_nothing_from_those_who_keep_to_it() -> None:
    one = scheduler({1: 0.100})
    for stream in range(3):
        one.open(stream, fps=3.0)
    served = played(one, (60.0, 3.0, 3.0))
    assert min(served[1], served[2]) >= 0.95 * 3.0 * 20.0, served
    assert served[0] >= 0.95 * 3.0 * 20.0, served


def test_what_a_stream_had_while_nobody_else_wanted_it_is_not_held_against_it() -> None:
    one = scheduler({1: 0.100}, streams=2)
    now_s = 0.0
    for _ in range(200):  # alone at ten frames a second, twice its share
        one.offer(0, "alone", now_s + 0.5, now_s)
        one.ran(one.next(now_s).batch, 0.100, now_s := now_s + 0.100)
    served: Counter[int | None] = Counter()
    for _ in range(20):
        for stream in (0, 1):
            one.offer(stream, "both", now_s + 0.5, now_s)
        batch = one.next(now_s).batch
        served.update(ticket.stream for ticket in batch)
        one.ran(batch, 0.100, now_s := now_s + 0.100)
    assert served[0] >= 7  # the newcomer may catch up a quarter of a second


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.5, 60.0), st.one_of(st.none(), st.floats(0.5, 5.0))),
        min_size=1,
        max_size=12,
    )
)
def test_no_stream_starves(streams: list[tuple[float, float | None]]) -> None:
    one = scheduler({1: 0.100})
    admitted: list[float] = []
    for rate, fps in streams:
        with suppress(Refused):
            load = Load(one.capacity_fps, one.reserved_fps(0.0))
            one.open(len(admitted), admit(RateWish(fps), load))
            admitted.append(rate)
    served = played(one, admitted, seconds=30.0)
    for stream, rate in enumerate(admitted):
        assert served[stream] >= min(5, round(30.0 * rate) // 3), (stream, served)


def _max_min_share(rates: tuple[int, ...], capacity: float) -> list[float]:
    share = [0.0] * len(rates)
    left, open_streams = capacity, set(range(len(rates)))
    while open_streams and left > 1e-9:
        each = left / len(open_streams)
        content = {s for s in open_streams if rates[s] - share[s] <= each}
        for stream in content or open_streams:
            gain = min(each, rates[stream] - share[stream])
            share[stream] += gain
            left -= gain
        if not content:
            break
        open_streams -= content
    return share
