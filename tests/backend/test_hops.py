"""The way of a frame as hops: in order and within the whole, whatever the clocks say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sightline_backend.tracing.hops import Hop, live_hops, unrun_hops, upload_hops
from sightline_engines.types import Timings

TIMINGS = Timings(decode=2, queue=10, preprocess=1, infer=30, postprocess=3, total=50)

times = st.floats(-1e3, 1e5)
stages = st.floats(0, 1e5)
timings = st.builds(Timings, stages, stages, stages, stages, stages, stages)


def in_ms(hops: tuple[Hop, ...], start_s: float) -> dict[str, tuple[float, float]]:
    """Return when hops begin and end, in milliseconds from a start."""
    return {
        hop.name: (round((hop.start_s - start_s) * 1e3, 6), round((hop.end_s - start_s) * 1e3, 6))
        for hop in hops
    }


def test_a_live_frame_waits_then_is_decoded_and_the_rest_of_its_batch_is() -> None:
    assert in_ms(live_hops(100.0, 100.02, TIMINGS, 100.075), 100.0) == {
        "client": (0, 20),
        "queue": (20, 30),
        "decode": (30, 32),
        "preprocess": (36, 37),  # another picture was decoded in between
        "infer": (37, 67),
        "postprocess": (67, 70),
        "answer": (70, 75),
    }


def test_a_frame_that_was_not_run_has_waited_all_the_time() -> None:
    assert in_ms(unrun_hops(1.0, 1.01, 1.5, 1.51), 1.0) == {
        "client": (0, 10),
        "queue": (10, 500),
        "answer": (500, 510),
    }


def test_an_upload_is_decoded_before_it_waits() -> None:
    assert in_ms(upload_hops(5.0, 5.01, 5.015, TIMINGS, 5.1), 5.0) == {
        "receive": (0, 15),
        "decode": (15, 17),
        "queue": (17, 22),
        "preprocess": (26, 27),
        "infer": (27, 57),
        "postprocess": (57, 60),
        "answer": (60, 100),
    }


@given(times, times, timings, times)
def test_hops_follow_each_other_within_the_whole(
    captured_s: float, received_s: float, measured: Timings, sent_s: float
) -> None:
    sent_s = max(sent_s, captured_s)
    for hops in (
        live_hops(captured_s, received_s, measured, sent_s),
        unrun_hops(captured_s, received_s, received_s + 1, sent_s),
        upload_hops(captured_s, received_s, received_s + 1, measured, sent_s),
    ):
        edges = [captured_s, *(edge for hop in hops for edge in (hop.start_s, hop.end_s)), sent_s]
        assert edges == sorted(edges)
