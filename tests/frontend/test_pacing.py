"""When the next frame is worth sending."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sightline_engines.types import Timings
from sightline_frontend.pacing import Pacer


def test_a_fresh_line_takes_a_frame_at_once() -> None:
    assert Pacer(1).ready(0.0)


def test_no_frame_leaves_without_a_credit() -> None:
    pacer = Pacer(2)
    pacer.sent(1, 0.0)
    pacer.sent(2, 0.1)
    assert not pacer.ready(100.0)
    pacer.ended(1)
    assert pacer.ready(100.0)


def test_frames_are_spaced_by_what_one_costs_the_server() -> None:
    pacer = Pacer(2)
    for seq in range(40):
        pacer.sent(seq, seq * 1.0)
        pacer.ended(seq, Timings(total=500))
    assert not pacer.ready(39.3)
    assert pacer.ready(39.5)


def test_a_drop_teaches_nothing_about_the_cost() -> None:
    pacer = Pacer(1)
    pacer.sent(1, 0.0)
    pacer.ended(1)
    assert pacer.ready(0.001)


def test_an_answer_nobody_waits_for_is_harmless() -> None:
    pacer = Pacer(1)
    pacer.ended(7, Timings(total=1))
    assert pacer.ready(1.0)


@given(
    credit=st.integers(1, 8),
    steps=st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.floats(0, 300)), max_size=60),
)
def test_never_more_frames_without_an_answer_than_credits(
    credit: int, steps: list[tuple[float, bool, float]]
) -> None:
    pacer, now_s = Pacer(credit), 0.0
    waiting: list[int] = []
    for seq, (pause_s, answer, cost_ms) in enumerate(steps):
        now_s += pause_s
        if answer and waiting:
            pacer.ended(waiting.pop(0), Timings(total=cost_ms))
        if pacer.ready(now_s):
            pacer.sent(seq, now_s)
            waiting.append(seq)
        assert len(waiting) <= credit
