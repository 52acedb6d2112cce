"""The benchmark against a real tritonserver: both modes, its split, and servers that go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from sightline_engines.errors import EngineAwayError, EngineError, ProviderError
from sightline_engines.triton.bench import perf_analyzer
from sightline_engines.triton.bench.figures import Measured
from sightline_engines.triton.bench.measure import measure
from sightline_engines.triton.bench.options import BenchOptions, Closed, Count, Open, Stable
from tests.fakes import encoded, grey
from tests.triton.at_triton import AtTriton, at_triton
from tests.triton.environment import TritonEnvironment

ANY = Stable(window_s=0.5, tolerance=100.0, most_windows=3)  # the machine is busy with others
PICTURE = encoded(grey(120, 320, 240))


@pytest.fixture(scope="module")
def triton(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AtTriton]:
    with at_triton(triton_environment, tmp_path_factory.mktemp("bench")) as running:
        running.load(pictures=True)
        yield running


def options(triton: AtTriton, **more: Any) -> BenchOptions:
    """Return a short measurement of the network's own tensors."""
    by_http = more.get("protocol") == "http"
    url = triton.server.http_url if by_http else triton.server.grpc_url
    made = BenchOptions(url, triton.deployment.tensors, until=ANY, warmup_requests=2)
    return replace(made, **more)


def check_sums(found: Measured, of: int) -> None:
    """Check that the server's split adds up, and lies within what the client saw."""
    assert found.latency_ms is not None
    whole, network = found.server[0], found.server[of]
    parts = network.mean_ms
    assert parts.queue + parts.input + parts.infer + parts.output <= parts.total * 1.01
    assert parts.queue + parts.input + parts.infer + parts.output >= parts.total * 0.5
    assert network.pictures == sum(size * n for size, n in network.batch_sizes.items())
    assert network.executions == sum(network.batch_sizes.values())
    # A border may cut a request that one side counts in and the other doesn't.
    assert abs(whole.requests - found.requests) <= 2 * 4 * found.counted
    assert parts.total <= found.latency_ms.longest


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_so_many_in_flight_are_measured_in_windows(triton: AtTriton, protocol: str) -> None:
    told: list[tuple[float, str]] = []
    asked = options(triton, protocol=protocol, load=Closed(4))
    found = measure(asked, lambda share, doing: told.append((share, doing)))
    assert (found.complete, found.stable, found.remark) == (True, True, "")
    assert found.counted == len(found.windows) == 3
    assert found.requests == sum(one.requests for one in found.windows) > 0
    assert found.requests_per_s == pytest.approx(found.requests / found.seconds)
    assert (found.failures, found.sent_late) == ((), 0)
    check_sums(found, of=1)
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_rate_is_kept_whatever_the_answers_take(triton: AtTriton) -> None:
    found = measure(options(triton, load=Open(10.0, "poisson"), until=Count(20)))
    assert (found.requests, found.failed, found.counted) == (20, 0, 1)
    assert found.load == "10/s, poisson"
    check_sums(found, of=1)


def test_a_rate_that_the_server_does_not_take_is_not_called_stable(triton: AtTriton) -> None:
    # The one picture in flight takes longer than its turn: the queue of those that are due grows.
    load = Open(400.0, most_in_flight=1)
    asked = options(triton, load=load, until=Stable(0.3, 0.9, 3), warmup_requests=0)
    found = measure(replace(asked, batch=8))
    assert (found.complete, found.stable, found.keeps_rate) == (True, False, False)
    assert "the server doesn't take this rate: of 400 requests/s " in found.remark


def test_requests_that_had_to_wait_for_a_free_place_are_as_slow_as_that(triton: AtTriton) -> None:
    # Two places for a thousand requests a second: each is quick once it has left.
    asked = options(triton, load=Open(1000.0, most_in_flight=2), until=Count(60), warmup_requests=0)
    found = measure(asked)
    assert found.latency_ms is not None
    assert found.requests == 60
    assert found.latency_ms.p50 > 5 * found.server[1].mean_ms.total
    assert found.sent_late > 40


@pytest.mark.parametrize("processes", [1, 2])
def test_the_time_of_the_processes_that_send_is_told(triton: AtTriton, processes: int) -> None:
    found = measure(options(triton, load=Closed(2), processes=processes))
    assert all(0.0 < one.client_cpu < 1.5 for one in found.windows)
    assert min(one.client_cpu for one in found.windows) <= found.client_cpu


def test_a_count_is_measured_without_its_warm_up(triton: AtTriton) -> None:
    asked = options(triton, load=Closed(3), until=Count(25), warmup_requests=5, processes=2)
    found = measure(asked)
    assert found.requests == 25
    assert found.server[0].requests == 25
    assert sum(found.server[1].batch_sizes.values()) == found.server[1].executions


def test_several_pictures_a_request_are_counted_each(triton: AtTriton) -> None:
    found = measure(options(triton, batch=4, until=Count(5)))
    assert found.pictures_per_s == pytest.approx(4 * found.requests_per_s)
    assert found.server[1].pictures == 20
    assert found.sends.endswith("of random uint8")


def test_an_ensemble_is_sent_pictures_and_its_parts_are_told(triton: AtTriton) -> None:
    asked = options(
        triton, model=triton.deployment.pictures, pictures=(PICTURE, PICTURE), until=Count(12)
    )
    found = measure(asked)
    assert found.requests == 12
    assert [one.model for one in found.server] == [asked.model, *triton.deployment.parts]
    assert {one.requests for one in found.server} == {12}
    check_sums(found, of=2)


def test_without_a_picture_one_is_rendered(triton: AtTriton) -> None:
    found = measure(options(triton, model=triton.deployment.pictures, until=Count(2)))
    assert (found.requests, found.sends) == (2, "IMAGE_BYTES [1, 1] of a rendered JPEG")


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ({"model": "nobody"}, EngineAwayError, "nobody"),
        ({"batch": 9}, ProviderError, "takes 8 pictures a request, not 9"),
        ({"shapes": {"x": (1,)}}, ProviderError, "No input is called x"),
        ({"shapes": {"sightline_bgr": (4, 4, 3)}}, ProviderError, "Give a size for each -1"),
        ({"pictures": (PICTURE,)}, ProviderError, "takes tensors, not pictures"),
        ({"url": "127.0.0.1:9"}, EngineAwayError, "127.0.0.1:9"),
    ],
)
def test_what_can_not_be_measured_is_said_before_it_begins(
    triton: AtTriton, more: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        measure(options(triton, **more))


def test_an_error_in_json_is_not_taken_for_an_answer(triton: AtTriton) -> None:
    asked = options(triton, model=triton.deployment.pictures, pictures=(b"no picture",))
    with pytest.raises(EngineError, match="answers with an error"):
        measure(asked)


def test_what_was_measured_when_it_is_stopped_is_kept(triton: AtTriton) -> None:
    stop = threading.Event()

    def stop_in_the_second_window(_share: float, doing: str) -> None:
        if doing.startswith("window 2"):
            stop.set()

    found = measure(options(triton, load=Closed(2)), stop_in_the_second_window, stop)
    assert (found.complete, found.stable) == (False, False)
    assert found.remark == "stopped before it was done"
    assert found.counted == len(found.windows) == 2
    assert found.requests > 0
    assert found.server  # it was still there to be asked


def test_perf_analyzer_gives_figures_of_the_same_load(
    triton: AtTriton, triton_environment: TritonEnvironment
) -> None:
    program = perf_analyzer.find(triton_environment.perf_analyzer)
    asked = options(triton, load=Closed(2))
    peer = perf_analyzer.run(program, asked)
    assert peer.pictures_per_s > 0
    assert 0 < peer.p50_ms <= peer.p90_ms <= peer.p99_ms
    assert peer.infer_ms > 0
    assert peer.ratio(measure(asked)) > 0


def test_perf_analyzer_is_sent_pictures_at_a_rate(
    triton: AtTriton, triton_environment: TritonEnvironment
) -> None:
    program = perf_analyzer.find(triton_environment.perf_analyzer)
    asked = options(
        triton,
        model=triton.deployment.pictures,
        pictures=(PICTURE,),
        load=Open(10.0),
        until=Stable(0.5, 100.0, 3),
    )
    assert perf_analyzer.run(program, asked).pictures_per_s > 0


def test_perf_analyzer_without_figures_says_why(
    triton: AtTriton, triton_environment: TritonEnvironment
) -> None:
    program = perf_analyzer.find(triton_environment.perf_analyzer)
    asked = options(triton, load=Closed(2), until=Stable(0.2, 1e-6, 3))
    with pytest.raises(ProviderError, match="Failed to obtain stable measurement"):
        perf_analyzer.run(program, asked)


def test_a_server_that_is_killed_leaves_partial_results(triton: AtTriton) -> None:
    both = threading.Barrier(2, action=triton.server.kill)

    def measured(protocol: str) -> Measured:
        killed = threading.Event()

        def kill_in_the_second_window(_share: float, doing: str) -> None:
            if doing.startswith("window 2") and not killed.is_set():
                killed.set()
                both.wait(30)

        return measure(options(triton, protocol=protocol), kill_in_the_second_window)

    try:
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(measured, ("grpc", "http")))
    finally:
        triton.server.restart()
        triton.load(pictures=True)
    for found in results:
        assert (found.complete, found.stable) == (False, False)
        assert found.remark.startswith("the server went away: ")
        assert found.requests > 0
        assert found.failures[0].kind == "unavailable"
        assert found.server == ()
        assert found.to_dict()["complete"] is False
