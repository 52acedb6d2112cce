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
    assert watch.look(100.0 + PATIENCE_S - 1, playing=True, last_frame_s=None) == "connecting"
    assert not watch.unreachable


def test_a_connection_that_never_brings_a_picture_is_tried_again_then_explained() -> None:
    watch = ConnectionWatch(0.0)
    assert watch.look(PATIENCE_S, playing=False, last_frame_s=None) == "restart"
    assert not watch.unreachable
    assert watch.look(PATIENCE_S + 1, playing=False, last_frame_s=None) == "connecting"
    assert watch.look(PATIENCE_S * 3, playing=False, last_frame_s=None) == "restart"
    assert watch.unreachable


def test_a_picture_ends_the_complaint() -> None:
    watch = ConnectionWatch(0.0)
    watch.look(PATIENCE_S, playing=False, last_frame_s=None)
    watch.look(PATIENCE_S * 3, playing=False, last_frame_s=None)
    assert watch.look(30.0, playing=True, last_frame_s=29.9) == "live"
    assert not watch.unreachable


def test_pictures_from_an_earlier_connection_do_not_count() -> None:
    watch = ConnectionWatch(50.0)
    assert watch.look(51.0, playing=True, last_frame_s=49.0) == "connecting"


def test_a_running_picture_is_live() -> None:
    watch = ConnectionWatch(0.0)
    assert watch.look(5.0, playing=True, last_frame_s=4.9) == "live"


def test_a_picture_that_comes_before_the_browser_says_so_is_no_loss() -> None:
    watch = ConnectionWatch(0.0)
    assert watch.look(2.0, playing=False, last_frame_s=1.9) == "connecting"
    assert watch.look(2.5, playing=True, last_frame_s=2.4) == "live"


def test_a_picture_that_stops_is_started_again_within_three_seconds() -> None:
    watch = ConnectionWatch(0.0)
    assert watch.look(5.0, playing=True, last_frame_s=5.0) == "live"
    assert watch.look(5.0 + SILENCE_S + 0.1, playing=True, last_frame_s=5.0) == "restart"
    assert watch.restarts == 1
    assert watch.look(7.5, playing=False, last_frame_s=5.0) == "connecting"


def test_a_connection_that_the_browser_gives_up_is_started_again_at_once() -> None:
    watch = ConnectionWatch(0.0)
    assert watch.look(5.0, playing=True, last_frame_s=5.0) == "live"
    assert watch.look(5.1, playing=False, last_frame_s=5.05) == "restart"
    assert watch.look(5.2, playing=False, last_frame_s=5.05) == "connecting"


def test_restarts_in_a_row_take_more_patience_until_it_settles() -> None:
    watch = ConnectionWatch(0.0)
    watch.look(2.0 + SILENCE_S, playing=True, last_frame_s=1.0)
    assert watch.restarts == 1
    assert watch.look(10.0 + SILENCE_S + 0.1, playing=True, last_frame_s=10.0) == "live"
    assert watch.restarts == 1
    assert watch.look(4.0 + SETTLED_S, playing=True, last_frame_s=4.0 + SETTLED_S) == "live"
    assert watch.restarts == 0
