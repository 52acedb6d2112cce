"""What a client makes of a detector that greets it again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sightline_engines import wire
from sightline_frontend.exchange import Exchange
from sightline_frontend.stats import LiveStats
from tests.frontend.fake_backend import HELLO, one_box


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("engine_failed", "The detector fails on every frame: It is down."),
        ("engine_away", "It is down. Don't want to wait? Press “Serve live video without Triton”"),
    ],
)
def test_frames_that_fail_in_a_row_are_told_of_with_a_way_out(code: str, says: str) -> None:
    exchange = Exchange(HELLO, LiveStats())
    for seq in range(5):
        assert exchange.problem is None
        exchange.receive(wire.Failure(code, "It is down.", seq), 1.0)
    assert exchange.problem is not None
    assert exchange.problem.startswith(says)


def test_a_second_hello_tells_what_answers_now_and_forgets_no_frame() -> None:
    exchange = Exchange(HELLO, LiveStats())
    assert exchange.frame(b"jpeg", 1.0, 1.0, 1.0) is not None
    other = replace(HELLO.model, name="other")
    exchange.receive(replace(HELLO, model=other, input_size_wh=(32, 24), max_frame_bytes=3), 1.1)
    assert exchange.told_size_wh == exchange.input_size_wh == (32, 24)
    answer = wire.message_from_json(one_box(wire.FramePacket(1, 0, 0, b"jpeg")))
    exchange.receive(answer, 1.2)
    assert exchange.seen is not None
    assert exchange.frame(b"jpeg", 1.3, 1.3, 1.3) is None, "larger than the new limit"
