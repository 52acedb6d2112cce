"""When a WebRTC connection is taken for lost."""

from __future__ import annotations

from sightline_frontend.connection_watch import (
    PATIENCE_S,
    SETTLED_S,
    SILENCE_S,
    ConnectionWatch,
)


def test_a_connection_under_way_is_left_alone() -> None:
    watch = ConnectionWatch(100.0)
    assert watch.look(100.0, playing=False, last_frame_s=None) == "connecting"
    assert watch.look(100.0 + PATIENCE_S - 1, playing=False, last_frame_s=None) == "connecting"


def test_a_connection_that_never_brings_a_picture_is_the_networks_fault() -> None:
    watch = ConnectionWatch(0.0)
    assert watch.look(PATIENCE_S, playing=False, last_frame_s=None) == "unreachable"
    assert watch.look(PATIENCE_S + 1, playing=False, last_frame_s=None) == "connecting"
    assert watch.look(PATIENCE_S * 2, playing=False, last_frame_s=None) == "unreachable"


def test_pictures_from_an_earlier_connection_do_not_count() -> None:
    watch = ConnectionWatch(50.0)
    assert watch.look(51.0, playing=True, last_frame_s=49.0) == "connecting"


def test_a_running_picture_is_live() -> None:
    watch = ConnectionWatch(0.0)
    assert watch.look(5.0, playing=True, last_frame_s=4.9) == "live"


def test_a_picture_that_stops_is_started_again_within_three_seconds() -> None:
    watch = ConnectionWatch(0.0)
    assert watch.look(5.0, playing=True, last_frame_s=5.0) == "live"
    assert watch.look(5.0 + SILENCE_S + 0.1, playing=True, last_frame_s=5.0) == "restart"
    assert watch.restarts == 1
    assert watch.look(7.5, playing=False, last_frame_s=5.0) == "connecting"


def test_a_component_that_stopped_by_itself_is_started_again_too() -> None:
    watch = ConnectionWatch(0.0)
    assert watch.look(5.0, playing=False, last_frame_s=5.0) == "connecting"
    assert watch.look(5.0 + SILENCE_S + 0.1, playing=False, last_frame_s=5.0) == "restart"


def test_restarts_in_a_row_take_more_patience_until_it_settles() -> None:
    watch = ConnectionWatch(0.0)
    watch.look(2.0 + SILENCE_S, playing=True, last_frame_s=1.0)
    assert watch.restarts == 1
    assert watch.look(10.0 + SILENCE_S + 0.1, playing=True, last_frame_s=10.0) == "live"
    assert watch.restarts == 1
    assert watch.look(4.0 + SETTLED_S, playing=True, last_frame_s=4.0 + SETTLED_S) == "live"
    assert watch.restarts == 0
