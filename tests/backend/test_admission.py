"""Who is let in, at which rate, and what those are told who aren't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_backend.admission import Load, RateWish, admit
from sightline_backend.errors import Refused
from sightline_backend.scheduler import LEAST_FPS, PROMISABLE

ANY = RateWish()


@pytest.mark.parametrize(
    ("wish", "load", "promised"),
    [
        (ANY, Load(100.0, 0.0), None),
        (ANY, Load(0.2, 0.0), None),  # late boxes are better than none
        (RateWish(fps=0.2), Load(100.0, 0.0), 0.2),
        (RateWish(fps=30), Load(100.0, 40.0), 30),
        (RateWish(fps=30, min_fps=10), Load(100.0, 65.0), 15.0),
    ],
)
def test_a_stream_gets_its_rate_or_what_is_left_of_it(
    wish: RateWish, load: Load, promised: float | None
) -> None:
    assert admit(wish, load) == promised


@pytest.mark.parametrize(
    ("wish", "load", "advice"),
    [
        (ANY, Load(10.0, 8.0), "need them all"),
        (ANY, Load(1.2, 1.0), "need them all"),
        (RateWish(fps=0.1), Load(10.0, 7.5), "need them all"),
        (RateWish(fps=30), Load(100.0, 65.0), r"Ask for fps=15"),
        (RateWish(fps=30, min_fps=20), Load(100.0, 65.0), r"Ask for fps=15"),
        (RateWish(fps=30), Load(20.0, 0.0), r"sustains 20 .* 16 of them are free"),
    ],
)
def test_a_refusal_says_what_is_left_and_when_to_come_back(
    wish: RateWish, load: Load, advice: str
) -> None:
    with pytest.raises(Refused, match=advice) as refused:
        admit(wish, load)
    assert refused.value.retry_after_s > 0


@given(
    st.floats(0.1, 1000.0),
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(0.1, 100.0)), st.one_of(st.none(), st.floats(0.1, 10.0))
        )
    ),
)
def test_no_more_is_promised_than_the_engine_sustains(
    capacity_fps: float, wishes: list[tuple[float | None, float | None]]
) -> None:
    reserved = 0.0
    for fps, min_fps in wishes:
        first = not reserved
        try:
            rate = admit(RateWish(fps, min_fps), Load(capacity_fps, reserved))
        except Refused:
            continue
        reserved += max(rate or 0.0, LEAST_FPS)
        if not (first and rate is None):
            assert reserved <= max(PROMISABLE * capacity_fps, LEAST_FPS) + 1e-6
