"""How often a lost engine is started again."""

from __future__ import annotations

from sightline_backend.breaker import MOST_RESTARTS, REST_S, WINDOW_S, Breaker


def crash(breaker: Breaker, now_s: float) -> float:
    """Lose an engine and start it again after the rest; returns when that was."""
    now_s += breaker.lost(now_s)
    breaker.restarted(now_s)
    return now_s


def test_a_first_loss_is_mended_at_once() -> None:
    assert Breaker().lost(0.0) == 0.0


def test_after_five_restarts_in_a_minute_there_is_a_rest() -> None:
    breaker = Breaker()
    for second in range(MOST_RESTARTS):
        assert crash(breaker, second) == second
    assert breaker.lost(MOST_RESTARTS) == REST_S


def test_now_and_then_a_crash_never_opens_it() -> None:
    breaker = Breaker()
    now_s = 0.0
    for _ in range(50):
        now_s += WINDOW_S / 4
        assert crash(breaker, now_s) == now_s


def test_after_a_rest_there_is_one_try_and_no_more() -> None:
    breaker = Breaker()
    for second in range(MOST_RESTARTS):
        crash(breaker, second)
    tried_s = crash(breaker, MOST_RESTARTS)
    assert breaker.lost(tried_s + 1.0) == REST_S


def test_an_engine_that_ran_for_a_minute_is_trusted_again() -> None:
    breaker = Breaker()
    for second in range(MOST_RESTARTS):
        crash(breaker, second)
    now_s = crash(breaker, MOST_RESTARTS) + WINDOW_S + 1.0
    for second in range(MOST_RESTARTS):
        assert crash(breaker, now_s + second) == now_s + second
    assert breaker.lost(now_s + MOST_RESTARTS) == REST_S
