"""How fast a client may send."""

from __future__ import annotations

from sightline_backend.pace import Pace


def test_the_first_message_never_waits() -> None:
    assert Pace(per_s=10, at_once=1).wait_s(100.0) == 0


def test_a_camera_within_the_rate_never_waits() -> None:
    pace = Pace(per_s=240, at_once=120)
    assert all(pace.wait_s(frame / 60) == 0 for frame in range(10_000))


def test_a_flood_is_slowed_to_the_rate_after_a_burst() -> None:
    pace, now_s, taken = Pace(per_s=100, at_once=50), 0.0, 0
    while now_s < 10.0:
        now_s += pace.wait_s(now_s)
        taken += 1
    assert 1000 <= taken <= 1060


def test_who_was_slowed_recovers_by_being_quiet() -> None:
    pace = Pace(per_s=10, at_once=5)
    for _ in range(20):
        pace.wait_s(0.0)
    assert pace.wait_s(0.0) > 0
    assert pace.wait_s(60.0) == 0
