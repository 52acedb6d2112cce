"""The benchmark's arithmetic: schedules, windows, percentiles, the server's counters."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_engines.triton.bench.answers import Answers, joined
from sightline_engines.triton.bench.figures import Window
from sightline_engines.triton.bench.options import (
    BenchOptions,
    Closed,
    Count,
    Open,
    Stable,
)
from sightline_engines.triton.bench.payload import Payload
from sightline_engines.triton.bench.schedule import due_times, shared_out
from sightline_engines.triton.bench.senders import Target
from sightline_engines.triton.bench.split import counters, splits
from sightline_engines.triton.bench.summary import Ended, summary
from sightline_engines.triton.bench.windows import (
    agree,
    failures,
    keeps_rate,
    latency,
    percentile,
    sent_late,
    window,
)

TIMES = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0, 1), st.floats(0, 10)).map(
        lambda one: (one[0], one[0] + one[1], one[0] + one[1] + one[2])
    )
)
SHARES = st.floats(0.01, 1.0)


def of(times: list[tuple[float, float, float]]) -> Answers:
    return Answers(np.array(times, np.float64).reshape(-1, 3))


def windows(*found: tuple[float, float]) -> list[Window]:
    """Return windows of these requests a second and mean latencies."""
    return [Window(1.0, int(rate), 0, rate, mean) for rate, mean in found]


@pytest.mark.parametrize(
    ("found", "agreed"),
    [
        ((), False),
        (((100, 5), (100, 5)), False),
        (((100, 5), (100, 5), (100, 5)), True),
        (((100, 5), (109, 5), (91, 5)), True),
        (((100, 5), (130, 5), (100, 5)), False),
        (((100, 5), (100, 9), (100, 5)), False),
        (((10, 50), (100, 5), (100, 5), (100, 5)), True),
        (((100, 5), (100, 5), (100, 5), (10, 50)), False),
        (((0, 0), (0, 0), (0, 0)), False),
    ],
)
def test_the_last_three_windows_must_agree_in_throughput_and_latency(
    found: tuple[tuple[float, float], ...], agreed: bool
) -> None:
    assert agree(windows(*found), 0.1) is agreed


@pytest.mark.parametrize(
    ("load", "answered", "kept"),
    [
        (Open(100.0), (), True),
        (Closed(4), (1, 1, 1), True),
        (Open(100.0), (100, 100, 100), True),
        (Open(100.0), (95, 93, 91), True),
        (Open(100.0), (88, 88, 88), False),
        (Open(100.0), (100, 90, 20), False),
        (Open(0.5), (0, 1, 0), True),  # the border cuts one
        (Open(5.0, "poisson"), (2, 4, 3), True),  # chance
        (Open(500.0, "poisson"), (400, 420, 410), False),
    ],
)
def test_a_rate_is_kept_if_so_many_are_answered(
    load: Closed | Open, answered: tuple[int, ...], kept: bool
) -> None:
    found = windows(*((count, 5) for count in answered))
    assert keeps_rate(found, load, 0.1) is kept


WINDOW = Ended(Window(1.0, 50, 0, 50.0, 5.0), of([]), {}, {})


@pytest.mark.parametrize(
    ("load", "client_cpu", "cut", "stable", "said"),
    [
        (Closed(4), 0.5, "", True, ()),
        (Closed(4), 0.86, "", True, ("86% of a core", "--processes")),
        (Closed(4), 0.86, "gone", False, ("gone; ", "86% of a core")),
        (Open(50.0), 0.5, "", True, ()),
        (Open(100.0), 0.5, "", False, ("doesn't take this rate: of 100 requests/s 50.0 were",)),
        (Open(100.0), 0.9, "", False, ("doesn't take this rate", "; a process that sends")),
        (Open(100.0), 0.5, "gone", False, ("gone",)),
    ],
)
def test_what_keeps_figures_from_being_the_servers_is_remarked(
    load: Closed | Open, client_cpu: float, cut: str, stable: bool, said: tuple[str, ...]
) -> None:
    one = replace(WINDOW, window=replace(WINDOW.window, client_cpu=client_cpu))
    payload = Payload(Target("grpc", "here:1", "", (), {}, 1.0), "images", ("m",))
    options = BenchOptions("here:1", "m", load=load)
    found = summary(options, payload, [one] * 3, cut)
    assert found.stable is stable
    assert found.client_cpu == pytest.approx(client_cpu)
    assert all(part in found.remark for part in said)
    assert bool(found.remark) is bool(said)
    assert "doesn't take" not in found.remark or not cut


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1), SHARES)
def test_a_percentile_is_the_least_value_that_covers_its_share(
    values: list[float], share: float
) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    covered = sum(one <= found for one in ordered)
    below = sum(one < found for one in ordered)
    assert found in ordered
    assert covered >= share * len(ordered) - 1e-6 > below - 1e-3 * len(ordered)


@pytest.mark.parametrize(
    ("share", "value"), [(0.01, 1), (0.07, 7), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)]
)
def test_percentiles_of_a_hundred_are_what_they_are_called(share: float, value: int) -> None:
    assert percentile(list(range(1, 101)), share) == value


@settings(deadline=None)
@given(TIMES, st.floats(0, 120))
def test_a_border_divides_answers_and_loses_none(
    times: list[tuple[float, float, float]], border: float
) -> None:
    before, after = of(times).split(border)
    assert all(before.times[:, 2] <= border)
    assert all(after.times[:, 2] > border)
    assert sorted(map(tuple, joined((before, after)).times)) == sorted(times)


@settings(deadline=None)
@given(TIMES)
def test_latency_counts_from_when_a_request_was_due(
    times: list[tuple[float, float, float]],
) -> None:
    found = latency(of(times))
    if not times:
        assert found is None
        return
    assert found is not None
    ms = [(ended - due) * 1000 for due, _, ended in times]
    assert found.longest == pytest.approx(max(ms))
    assert found.mean == pytest.approx(sum(ms) / len(ms))
    assert found.p50 <= found.p90 <= found.p95 <= found.p99 <= found.longest


def test_a_window_without_answers_has_no_latency() -> None:
    assert window(of([]), 2.0) == Window(2.0, 0, 0, 0.0, 0.0)


def test_requests_that_left_a_millisecond_late_are_counted() -> None:
    assert sent_late(of([(1.0, 1.0005, 2.0), (1.0, 1.002, 2.0), (1.0, 1.5, 2.0)])) == 2


@pytest.mark.parametrize(
    ("failed", "counted"),
    [
        ([], []),
        ([(1.0, "unavailable", "refused")], [("unavailable", 1, "refused")]),
        (
            [(1.0, "b", "first"), (2.0, "a", "other"), (3.0, "b", "second")],
            [("b", 2, "first"), ("a", 1, "other")],
        ),
    ],
)
def test_failures_are_counted_by_kind_with_the_first_as_example(
    failed: list[tuple[float, str, str]], counted: list[tuple[str, int, str]]
) -> None:
    assert [(one.kind, one.count, one.example) for one in failures(failed)] == counted


@settings(deadline=None)
@given(st.floats(0.1, 5000), st.integers(1, 8))
def test_processes_take_turns_at_a_constant_rate(rate: float, of_: int) -> None:
    parts = [list(islice(due_times(Open(rate), 0, share, of_), 20)) for share in range(of_)]
    together = sorted(time for part in parts for time in part)
    assert together == pytest.approx([number / rate for number in range(20 * of_)])


def test_random_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() -> None:
    times = list(islice(due_times(Open(100.0, "poisson"), 1), 20_000))
    gaps = [after - before for before, after in pairwise(times)]
    assert np.mean(gaps) == pytest.approx(0.01, rel=0.05)
    assert np.std(gaps) == pytest.approx(0.01, rel=0.05)


def test_random_arrivals_are_the_same_for_a_seed_and_differ_between_processes() -> None:
    load = Open(100.0, "poisson")

    def first(seed: int, share: int) -> list[float]:
        return list(islice(due_times(load, seed, share, 2), 5))

    assert first(1, 0) == first(1, 0)
    assert first(1, 0) != first(1, 1)
    assert first(1, 0) != first(2, 0)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 16))
def test_requests_are_shared_out_whole_and_evenly(total: int, of_: int) -> None:
    parts = [shared_out(total, share, of_) for share in range(of_)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


def told(count: int, batches: dict[int, int]) -> dict[str, object]:
    """Return what Triton tells of a version that answered so many requests of 10 ms each."""
    stage = {"count": count, "ns": count * 10_000_000}
    names = ("success", "queue", "compute_input", "compute_infer", "compute_output")
    none = {"count": 0, "ns": 0}
    return {
        "inference_count": sum(size * ran for size, ran in batches.items()),
        "execution_count": sum(batches.values()),
        "inference_stats": dict.fromkeys(names, stage)
        | {"fail": none, "cache_hit": none, "cache_miss": none},
        "batch_stats": [
            {"batch_size": size, "compute_infer": {"count": ran, "ns": 0}}
            for size, ran in batches.items()
        ],
    }


def test_a_split_is_what_was_counted_between_two_readings() -> None:
    before = {"m": counters([told(10, {1: 10})])}
    after = {"m": counters([told(30, {1: 10, 4: 5})])}
    (found,) = splits(before, after)
    assert (found.requests, found.pictures, found.executions) == (20, 20, 5)
    assert found.batch_sizes == {4: 5}
    assert found.mean_ms.queue == pytest.approx(10.0)
    assert found.mean_ms.total == pytest.approx(10.0)


def test_versions_are_added_up() -> None:
    found = counters([told(10, {1: 10}), told(5, {1: 1, 2: 2})])
    assert (found.counts["success"], found.batch_sizes) == (15, {1: 11, 2: 2})


def test_nothing_is_told_of_a_model_that_was_loaded_anew_in_between() -> None:
    before, after = ({"m": counters([told(count, {1: count})])} for count in (10, 2))
    assert splits(before, after) == ()


def test_without_requests_a_split_has_no_times() -> None:
    reading = {"m": counters([told(10, {1: 10})])}
    (found,) = splits(reading, reading)
    assert (found.requests, found.batch_sizes, found.mean_ms.infer) == (0, {}, 0.0)


@pytest.mark.parametrize(
    "made",
    [
        lambda: Closed(0),
        lambda: Open(0.0),
        lambda: Open(math.nan),
        lambda: Open(1.0, most_in_flight=0),
        lambda: Stable(window_s=0),
        lambda: Stable(tolerance=0),
        lambda: Stable(most_windows=2),
        lambda: Count(0),
        lambda: BenchOptions("here:1", "m", batch=0),
        lambda: BenchOptions("here:1", "m", warmup_requests=-1),
        lambda: BenchOptions("here:1", "m", timeout_s=0),
    ],
)
def test_options_that_can_not_be_are_refused(made: object) -> None:
    assert callable(made)
    with pytest.raises(ValueError, match=r"at least|above 0|three|negative|must be"):
        made()
