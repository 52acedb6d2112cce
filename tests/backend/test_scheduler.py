"""The scheduler alone: a fake clock, no engine, every rule and then random traffic."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_backend.batch_times import BatchTimes
from sightline_backend.scheduler import ANSWER_S, PROBE_AFTER_S, Scheduler, Ticket

FLAT = {1: 0.010, 2: 0.020, 4: 0.040}  # a CPU: batching gains nothing
STEEP = {1: 0.010, 2: 0.011, 4: 0.013, 8: 0.017}  # a GPU: it gains a lot


def scheduler(times: dict[int, float], streams: int = 0, uploads: int = 4) -> Scheduler[str]:
    made: Scheduler[str] = Scheduler(BatchTimes(times), max_batch=8, max_uploads=uploads)
    for stream in range(streams):
        made.open(stream)
    return made


def when_due(one: Scheduler[str], now_s: float) -> tuple[list[Ticket[str]], float]:
    """Return the next batch and when it starts, waking as the scheduler asks."""
    while not (decision := one.next(now_s)).batch:
        assert decision.wake_s is not None
        now_s = decision.wake_s
    return decision.batch, now_s


def test_nothing_waits_so_nothing_runs_and_nobody_is_asked_to_wake() -> None:
    decision = scheduler(FLAT, streams=2).next(0.0)
    assert (decision.batch, decision.late, decision.wake_s) == ([], [], None)


def test_an_idle_engine_takes_a_frame_at_once() -> None:
    one = scheduler(STEEP, streams=4)
    one.offer(0, "a", deadline_s=0.5, now_s=0.0)
    assert [t.item for t in one.next(0.0).batch] == ["a"]


def test_a_newer_frame_replaces_the_one_in_the_slot() -> None:
    one = scheduler(FLAT, streams=1)
    assert one.offer(0, "old", 0.5, 0.0) is None
    replaced = one.offer(0, "new", 0.6, 0.1)
    assert replaced is not None
    assert replaced.item == "old"
    assert [t.item for t in one.next(0.1).batch] == ["new"]
    assert one.next(0.1).batch == []


def test_the_earliest_deadline_goes_first() -> None:
    one = scheduler(FLAT, streams=3)
    for stream, deadline_s in enumerate((0.9, 0.3, 0.6)):
        one.offer(stream, f"s{stream}", deadline_s, 0.0)
    order = [one.next(0.0).batch[0].item for _ in range(3)]
    assert order == ["s1", "s2", "s0"]


def test_a_newer_frame_keeps_its_streams_place_in_line() -> None:
    one = scheduler(FLAT, streams=2)
    one.offer(0, "fast 1", 0.50, 0.00)
    one.offer(1, "slow 1", 0.51, 0.01)
    one.offer(0, "fast 2", 0.52, 0.02)
    assert [one.next(0.02).batch[0].item for _ in range(2)] == ["fast 2", "slow 1"]


def test_a_frame_that_cannot_make_its_deadline_is_dropped_before_it_costs_engine_time() -> None:
    one = scheduler(FLAT, streams=2)
    one.offer(0, "warm", 9.0, 0.0)
    one.ran(one.next(0.0).batch, 0.010, 0.010)
    one.offer(0, "late", 0.015, 0.010)
    one.offer(1, "fine", 0.100, 0.010)
    decision = one.next(0.010)
    assert [t.item for t in decision.late] == ["late"]
    assert [t.item for t in decision.batch] == ["fine"]


def test_a_doubtful_frame_runs_as_a_probe_when_nothing_has_run_for_a_while() -> None:
    """A wrong estimate would otherwise drop every frame for ever and never be corrected."""
    one = scheduler({1: 5.0}, streams=1)
    one.offer(0, "doubtful", 10.5, 10.0)
    assert [t.item for t in one.next(PROBE_AFTER_S + 9.0).batch] == ["doubtful"]


def test_a_frame_past_its_deadline_is_never_run_not_even_as_a_probe() -> None:
    one = scheduler(FLAT, streams=1)
    one.offer(0, "stale", 1.0, 0.0)
    decision = one.next(100.0)
    assert [t.item for t in decision.late] == ["stale"]
    assert decision.batch == []


def test_a_batch_grows_while_the_earliest_deadline_allows() -> None:
    one = scheduler(STEEP, streams=8)
    for stream in range(8):
        one.offer(stream, f"s{stream}", 0.013 + ANSWER_S, 0.0)
    assert len(one.next(0.0).batch) == 4


def test_a_cpu_gains_nothing_from_batches_so_it_never_holds_one_open() -> None:
    one = scheduler(FLAT, streams=8)
    for now in range(200):
        one.offer(now % 8, "x", now / 1000 + 9.0, now / 1000)
    one.next(0.2)
    one.drain()
    one.offer(0, "a", 9.0, 0.2)
    decision = one.next(0.2)
    assert [t.item for t in decision.batch] == ["a"]


def test_a_batch_is_held_open_only_while_the_engine_is_the_bottleneck() -> None:
    one = scheduler(STEEP, streams=8)
    for now in range(1000):  # 1000 frames a second against 100 in batches of one
        one.offer(now % 8, "x", 9.0, now / 1000)
    one.drain()
    one.offer(0, "a", 2.0, 1.0)
    held = one.next(1.0)
    assert held.batch == []
    assert held.wake_s == pytest.approx(1.0 + 0.010)
    one.offer(1, "b", 2.0, 1.005)
    batch, now_s = when_due(one, 1.005)
    assert [t.item for t in batch] == ["a", "b"]
    assert now_s == pytest.approx(1.0 + 0.011)


def test_a_batch_is_never_held_past_what_its_earliest_deadline_allows() -> None:
    one = scheduler(STEEP, streams=8)
    for now in range(1000):
        one.offer(now % 8, "x", 9.0, now / 1000)
    one.drain()
    one.offer(0, "a", 1.016, 1.0)
    assert one.next(1.0).wake_s == pytest.approx(1.016 - 0.011 - ANSWER_S)


def test_a_frame_that_waits_in_vain_for_company_loses_one_batch_time_and_no_more() -> None:
    """A flood that has just stopped must not hold up whoever comes after it."""
    one = scheduler(STEEP, streams=8)
    for now in range(1000):
        one.offer(now % 8, "x", 9.0, now / 1000)
    one.drain()
    one.offer(0, "alone", 9.0, 1.0)
    assert when_due(one, 1.0)[1] == pytest.approx(1.0 + 0.010)


def test_a_batch_is_not_held_for_streams_that_do_not_exist() -> None:
    one = scheduler(STEEP, streams=1)
    for now in range(1000):
        one.offer(0, "x", 9.0, now / 1000)
    assert len(one.next(1.0).batch) == 1


def test_closing_a_stream_returns_its_frame_and_leaves_the_others() -> None:
    one = scheduler(FLAT, streams=2)
    one.offer(0, "gone", 0.5, 0.0)
    one.offer(1, "stays", 0.6, 0.0)
    closed = one.close(0)
    assert closed is not None
    assert closed.item == "gone"
    assert one.close(0) is None
    assert [t.item for t in one.next(0.0).batch] == ["stays"]


def test_uploads_run_at_once_when_no_stream_waits() -> None:
    one = scheduler(FLAT)
    assert one.enqueue("upload", float("inf"))
    assert [t.item for t in one.next(0.0).batch] == ["upload"]


def test_a_full_upload_queue_says_so() -> None:
    one = scheduler(FLAT, uploads=1)
    assert one.enqueue("first", float("inf"))
    assert not one.enqueue("second", float("inf"))


def test_uploads_get_a_small_share_while_streams_wait_and_no_more() -> None:
    one = scheduler(FLAT, streams=1, uploads=1000)
    for i in range(500):
        one.enqueue(f"u{i}", float("inf"))
    ran: Counter[bool] = Counter()
    now_s = 0.0
    for _ in range(400):
        one.offer(0, "live", now_s + 0.5, now_s)
        batch = one.next(now_s).batch
        now_s += 0.010 * len(batch)
        one.ran(batch, 0.010 * len(batch), now_s)
        ran.update(t.stream is None for t in batch)
    assert 0.05 <= ran[True] / ran.total() <= 0.15


events = st.lists(
    st.tuples(
        st.sampled_from([*["offer"] * 3, *["run"] * 2, "upload", "open", "close", "expire"]),
        st.integers(0, 5),  # which stream
        st.floats(0.0, 0.2),  # how much later
        st.floats(-0.05, 0.6),  # deadline from now
    ),
    max_size=120,
)


@settings(max_examples=200, deadline=None)
@given(events, st.sampled_from([FLAT, STEEP, {1: 0.2}]))
def test_every_frame_ends_exactly_once_and_nothing_is_dispatched_past_its_deadline(
    script: list[tuple[str, int, float, float]], times: dict[int, float]
) -> None:
    one: Scheduler[int] = Scheduler(BatchTimes(times), max_batch=8, max_uploads=3)
    ids: dict[int, int] = {}  # the script's stream → the scheduler's id, never used twice
    owner: dict[int, int | None] = {}
    ended: Counter[int] = Counter()
    now_s, frame, next_id = 0.0, 0, 0
    for action, stream, later_s, deadline_s in script:
        now_s += later_s
        if action == "open" and stream not in ids:
            ids[stream], next_id = next_id, next_id + 1
            one.open(ids[stream], fps=None if stream % 2 else 5.0 * (stream + 1))
        elif action == "close" and stream in ids:
            closed = one.close(ids.pop(stream))
            ended.update([closed.item] if closed else [])
        elif action == "offer" and stream in ids:
            owner[frame] = ids[stream]
            replaced = one.offer(ids[stream], frame, now_s + deadline_s, now_s)
            ended.update([replaced.item] if replaced else [])
            frame += 1
        elif action == "expire":
            late = one.expire(now_s)
            ended.update(t.item for t in late)
            assert all(t.deadline_s < now_s for t in late)
        elif action == "upload":
            owner[frame] = None
            if not one.enqueue(frame, float("inf")):
                ended[frame] += 1
            frame += 1
        elif action == "run":
            decision = one.next(now_s)
            ended.update(t.item for t in (*decision.batch, *decision.late))
            assert all(t.deadline_s >= now_s for t in decision.batch)
            assert all(t.stream == owner[t.item] for t in decision.batch)
            assert len({t.stream for t in decision.batch if t.stream is not None}) == sum(
                t.stream is not None for t in decision.batch
            )
            assert len(decision.batch) <= 8
            assert decision.wake_s is None or decision.wake_s > now_s
            if decision.batch:
                seconds = one.times.mean(len(decision.batch))
                now_s += seconds
                one.ran(decision.batch, seconds, now_s)
        assert one.waiting <= one.streams + 3
    for open_stream in ids.values():
        closed = one.close(open_stream)
        ended.update([closed.item] if closed else [])
    assert one.reserved_fps(now_s) == 0
    ended.update(t.item for t in one.drain())
    assert ended == Counter(range(frame))
    assert one.next(now_s + 100.0).batch == []
