"""Which frames and calls are traced."""

from __future__ import annotations

import secrets
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_backend.peaks import Peaks
from sightline_backend.tracing.traceparent import TraceParent, read_traceparent
from sightline_backend.tracing.tracer import ASKED_AT_ONCE, Tracer

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.25, 1.0])
@given(salt=st.integers(0, 2**32 - 1), first=st.integers(0, 2**32 - 20_001))
def test_the_share_of_frames_is_met_and_spread_evenly(share: float, salt: int, first: int) -> None:
    tracer = Tracer("http://localhost:4318", share)
    chosen = [seq for seq in range(first, first + 2_000) if tracer.samples(salt, seq)]
    assert abs(len(chosen) - share * 2_000) <= 3
    assert chosen == [s for s in range(first, first + 2_000) if tracer.samples(salt, s)]
    gaps = [after - before for before, after in pairwise(chosen)]
    assert all(gap <= 3 / share for gap in gaps)


def test_the_share_of_calls_is_met() -> None:
    tracer = Tracer("http://localhost:4318", 0.5)
    chosen = sum(tracer.samples_call(secrets.token_hex(16), None) for _ in range(2_000))
    assert 800 < chosen < 1_200


def test_a_caller_that_traces_decides_within_bounds() -> None:
    none, every = Tracer("http://c:1", 0.0), Tracer("http://c:1", 1.0)
    assert none.samples_call(TRACE, TraceParent(TRACE, SPAN, sampled=True))
    assert not every.samples_call(TRACE, TraceParent(TRACE, SPAN, sampled=False))
    flood = [none.samples_call(TRACE, TraceParent(TRACE, SPAN, True)) for _ in range(1_000)]
    assert sum(flood) <= ASKED_AT_ONCE + 20


@pytest.mark.parametrize(
    ("header", "read"),
    [
        (None, None),
        ("", None),
        ("garbage", None),
        (f"00-{TRACE}-{SPAN}-01", TraceParent(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-00", TraceParent(TRACE, SPAN, False)),
        (f"00-{TRACE}-{SPAN}-03", TraceParent(TRACE, SPAN, True)),
        (f"01-{TRACE}-{SPAN}-01-more", TraceParent(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        (f"00-{TRACE[:-1]}\u0663-{SPAN}-01", None),
    ],
)
def test_a_traceparent_is_read_as_the_w3c_says(
    header: str | None, read: TraceParent | None
) -> None:
    assert read_traceparent(header) == read


@pytest.mark.parametrize(
    ("values", "peaks"),
    [
        ([], []),
        ([(0, 5)], [True]),
        ([(0, 5), (1, 4), (2, 6), (3, 6)], [True, False, True, False]),
        ([(0, 9), (1, 4), (2, 3), (5.5, 3.5), (6.5, 3.6)], [True, False, False, False, True]),
        ([(0, 9), (10, 1), (11, 0)], [True, True, False]),
    ],
)
def test_a_peak_is_above_all_of_the_last_five_seconds(
    values: list[tuple[float, float]], peaks: list[bool]
) -> None:
    watch = Peaks(5.0)
    assert [watch.is_peak(now_s, value) for now_s, value in values] == peaks


@given(st.lists(st.tuples(st.floats(0.001, 3), st.floats(0, 10)), max_size=60))
def test_peaks_are_those_that_looking_at_all_values_finds(steps: list[tuple[float, float]]) -> None:
    watch, now_s, seen = Peaks(5.0), 0.0, list[tuple[float, float]]()
    for pause_s, value in steps:
        now_s += pause_s
        recent = [old for at_s, old in seen if at_s >= now_s - 5.0]
        assert watch.is_peak(now_s, value) == all(old < value for old in recent)
        seen.append((now_s, value))
