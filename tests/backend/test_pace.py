"""How fast a client may send."""

from __future__ import annotations

from sightline_backend.pace import Pace


def taken(pace: Pace, now_s: float) -> float:
    """Take a message as soon as it may be; returns when that is."""
    now_s += pace.wait_s(now_s)
    pace.count(now_s)
    return now_s


def test_the_first_message_never_waits() -> None:
    assert Pace(per_s=10, at_once=1).wait_s(100.0) == 0


def test_a_camera_within_the_rate_never_waits() -> None:
    pace = Pace(per_s=240, at_once=120)
    assert all(taken(pace, frame / 60) == frame / 60 for frame in range(10_000))


def test_a_flood_is_slowed_to_the_rate_after_a_burst() -> None:
    pace, now_s, count = Pace(per_s=100, at_once=50), 0.0, 0
    while now_s < 10.0:
        now_s = taken(pace, now_s)
        count += 1
    assert 1000 <= count <= 1060


def test_asking_again_and_again_makes_the_wait_no_longer() -> None:
    pace = Pace(per_s=1, at_once=1)
    pace.count(0.0)
    assert pace.wait_s(0.0) == pace.wait_s(0.0) == 1.0


def test_who_was_slowed_recovers_by_being_quiet() -> None:
    pace = Pace(per_s=10, at_once=5)
    for _ in range(20):
        pace.count(0.0)
    assert pace.wait_s(0.0) > 0
    assert pace.wait_s(60.0) == 0
