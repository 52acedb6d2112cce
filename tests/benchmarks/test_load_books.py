"""The load generator's books: every frame ends once, and what is odd is counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.account import Account
from benchmarks.load.report import LoadReport, ages_of
from benchmarks.load.schedule import NUMBERS, due_times, first_number, phases, stream_of
from benchmarks.load.spec import LoadSpec, parse_size, parse_streams, streams_text

STREAMS = 3


def account() -> Account:
    return Account([15.0] * STREAMS, deadline_s=0.1, from_s=10.0)


@pytest.mark.parametrize(
    ("rate", "phase_s", "seconds", "expected"),
    [
        (15.0, 0.0, 0.0, []),
        (2.0, 0.25, 1.0, [0.25, 0.75]),
        (4.0, 0.0, 1.0, [0.0, 0.25, 0.5, 0.75]),
    ],
)
def test_a_stream_s_frames_are_due_at_even_distances(
    rate: float, phase_s: float, seconds: float, expected: list[float]
) -> None:
    assert list(due_times(rate, phase_s, seconds)) == expected


@given(rates=st.lists(st.floats(1, 60), max_size=8), seed=st.integers(0, 99))
def test_streams_begin_within_their_first_period_and_alike_for_a_seed(
    rates: list[float], seed: int
) -> None:
    begun = phases(rates, seed)
    assert begun == phases(rates, seed)
    assert all(0 <= phase <= 1 / rate for phase, rate in zip(begun, rates, strict=True))


def test_each_stream_numbers_its_frames_in_a_range_of_its_own() -> None:
    assert [stream_of(first_number(i)) for i in range(4)] == [0, 1, 2, 3]
    assert stream_of(first_number(2) - 1) == 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, STREAMS - 1),  # the stream of the frame
            st.sampled_from(["answer", "late", "drop", "fail", "nothing"]),
            st.booleans(),  # whether it is ended a second time
            st.integers(0, STREAMS - 1),  # the connection on which its end comes
            st.booleans(),  # whether it belongs to the warm-up
        )
    )
)
def test_every_offered_frame_ends_exactly_once(
    frames: list[tuple[int, str, bool, int, bool]],
) -> None:
    books = account()
    counted = 0
    for number, (stream, end, twice, connection, warm) in enumerate(frames):
        seq, due_s = first_number(stream) + number, 9.0 if warm else 11.0
        counted += not warm
        books.offer(seq, due_s)
        for _ in range(1 + twice):
            match end:
                case "answer":
                    books.answer(connection, seq, due_s + 0.05)
                case "late":
                    books.answer(connection, seq, due_s + 0.2)
                case "drop":
                    books.drop(connection, seq, "superseded")
                case "fail":
                    books.fail(connection, seq, "corrupt")
    misled = sum(
        1 + twice
        for stream, end, twice, connection, _ in frames
        if end != "nothing" and stream != connection
    )
    repeated = sum(
        twice
        for stream, end, twice, connection, _ in frames
        if end != "nothing" and stream == connection
    )
    report = books.close(start_s=10.0, seconds=1.0)
    assert report.offered == counted == report.ended == sum(report.offered_by_stream)
    assert (report.wrong_stream, report.wrong_seq) == (misled, repeated)
    assert report.in_time == sum(report.in_time_by_stream)
    assert LoadReport.from_json(report.to_json()) == report


def test_a_frame_without_an_end_is_lost() -> None:
    books = account()
    books.offer(0, 11.0)
    assert books.close(10.0, 1.0).lost == 1


def test_a_frame_is_offered_once() -> None:
    books = account()
    books.offer(0, 11.0)
    with pytest.raises(ValueError, match="twice"):
        books.offer(0, 11.0)


def test_an_answer_to_no_stream_s_frame_is_a_wrong_number() -> None:
    books = account()
    books.answer(0, 99 * NUMBERS, 11.0)
    books.answer(0, 5, 11.0)
    assert books.close(10.0, 1.0).wrong_seq == 2


def test_a_connection_that_breaks_ends_its_own_frames_alone() -> None:
    books = account()
    books.offer(first_number(0), 11.0)
    books.offer(first_number(1), 11.0)
    books.fail_all(1, "disconnected")
    report = books.close(10.0, 1.0)
    assert (report.errors, report.lost) == ({"disconnected": 1}, 1)


def test_ages_are_sorted_into_windows_of_ten_seconds() -> None:
    books = Account([15.0], deadline_s=0.1, from_s=10.0)
    for number, due_s in enumerate((10.0, 19.9, 20.0, 30.0)):
        books.offer(number, due_s)
        books.answer(0, number, due_s + 0.01 * (number + 1))
    windows = books.close(10.0, 25.0).windows
    assert [(w.at_s, w.in_time) for w in windows] == [(0.0, 2), (10.0, 1)]  # whole ones alone
    assert windows[0].age_ms.p99 == pytest.approx(20)


@pytest.mark.parametrize(
    ("seconds", "p50", "largest"),
    [([], 0.0, 0.0), ([0.01], 10.0, 10.0), ([0.03, 0.01, 0.02], 20.0, 30.0)],
)
def test_ages_are_quantiles_in_ms(seconds: list[float], p50: float, largest: float) -> None:
    ages = ages_of(seconds)
    assert ages.p50 == pytest.approx(p50)
    assert ages.largest == pytest.approx(largest)


@pytest.mark.parametrize(
    ("text", "rates"),
    [("15", (15.0,)), ("15,15,30", (15.0, 15.0, 30.0)), ("2x15, 1x7.5", (15.0, 15.0, 7.5))],
)
def test_streams_are_written_as_rates(text: str, rates: tuple[float, ...]) -> None:
    assert parse_streams(text) == rates
    assert parse_streams(streams_text(rates)) == rates


@pytest.mark.parametrize("text", ["", "x", "15,", "0", "2x-3", "1.5x15"])
def test_other_streams_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"[Ss]tream"):
        parse_streams(text)


@pytest.mark.parametrize("text", ["", "1280", "axb"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1280x720"):
        parse_size(text)


def test_a_run_asks_for_itself_on_the_command_line() -> None:
    spec = LoadSpec("http", "http://h/", (15.0, 15.0, 5.0), 3.0, 50.0, core=1, raw=True)
    words = " ".join(spec.arguments())
    assert "--kind http --url http://h/ --streams 2x15.0,1x5.0 --seconds 3.0" in words
    assert words.endswith("--core 1 --raw")
