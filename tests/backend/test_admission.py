"""Who is let in, at which rate, and what those are told who aren't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_backend.admission import LEAST_FPS, Load, RateWish, admit
from sightline_backend.errors import Refused
from sightline_backend.scheduler import HEADROOM

ANY = RateWish()


@pytest.mark.parametrize(
    ("wish", "load", "promised"),
    [
        (ANY, Load(100.0, 0.0, 0), None),
        (ANY, Load(0.2, 0.0, 0), None),  # late boxes are better than none
        (RateWish(fps=30), Load(100.0, 60.0, 0), 30),
        (RateWish(fps=30, min_fps=10), Load(100.0, 80.0, 0), 15.0),
        (RateWish(fps=30, min_fps=10), Load(100.0, 80.0, 4), 11.0),
        (RateWish(min_fps=5), Load(100.0, 90.0, 0), None),
    ],
)
def test_a_stream_gets_its_rate_or_what_is_left_of_it(
    wish: RateWish, load: Load, promised: float | None
) -> None:
    assert admit(wish, load) == promised


@pytest.mark.parametrize(
    ("wish", "load", "advice"),
    [
        (ANY, Load(10.0, 9.5, 0), "need them all"),
        (ANY, Load(1.2, 0.0, 1), "need them all"),
        (RateWish(min_fps=5), Load(100.0, 93.0, 0), "need them all"),
        (RateWish(fps=30), Load(100.0, 80.0, 0), r"Ask for fps=15"),
        (RateWish(fps=30, min_fps=20), Load(100.0, 80.0, 0), r"Ask for fps=15"),
        (RateWish(fps=30), Load(20.0, 0.0, 0), r"sustains 20 .* 19 of them are free"),
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
    promised, shared = 0.0, 0
    for fps, min_fps in wishes:
        first = not promised and not shared
        try:
            rate = admit(RateWish(fps, min_fps), Load(capacity_fps, promised, shared))
        except Refused:
            continue
        promised += rate or 0.0
        shared += rate is None
        if not (first and rate is None):
            assert promised + shared * LEAST_FPS <= HEADROOM * capacity_fps + 1e-6
