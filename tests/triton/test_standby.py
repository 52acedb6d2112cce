"""The breaker before Triton, and the engine that answers in its place."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sightline_engines.errors import EngineAwayError, EngineError, ProviderError, SightlineError
from sightline_engines.postprocess import DetectOptions
from sightline_engines.triton.away import FAILURES_IN_A_ROW, Away, delays
from sightline_engines.triton.errors import ModelBusyError, TritonError
from sightline_engines.triton.options import TritonOptions
from sightline_engines.triton.remote import Call, PictureAnswer, PictureRefusal, RemoteEngine
from sightline_engines.triton.standby import StandbyEngine, load_remote
from sightline_engines.types import ModelSpec, RawOutput, ServedModel, Tensor
from tests.fakes import SIDE, SPEC, FakeEngine


class FakeRemote:
    """A server's engine that fails as it is told."""

    def __init__(self) -> None:
        self.error: EngineError | None = None
        self.trouble: str | None = None
        self.closed = False
        self.asked = 0

    @property
    def spec(self) -> ModelSpec:
        return SPEC

    @property
    def served(self) -> ServedModel:
        return ServedModel(SPEC.name, SPEC.version, "triton", "fp32", "Triton there:8001")

    def take_calls(self) -> tuple[Call, ...]:
        return (Call("ok", 0.001),)

    def infer(self, tensor: Tensor) -> RawOutput:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return (np.full((len(tensor), 1, 6), 7, np.float32),)

    def detect_pictures(
        self, pictures: Sequence[bytes], options: Sequence[DetectOptions]
    ) -> list[PictureAnswer | PictureRefusal] | None:
        if self.error is not None:
            raise self.error
        return [PictureRefusal("corrupt_picture", "no picture")] * len(pictures)

    def close(self) -> None:
        self.closed = True


BATCH: Tensor = np.zeros((3, SIDE, SIDE, 3), np.uint8)


def test_the_very_same_batch_is_answered_beside_a_server_that_fails_and_the_answer_says_so() -> (
    None
):
    remote, local = FakeRemote(), FakeEngine()
    engine: RemoteEngine = StandbyEngine(remote, local)
    assert engine.infer(BATCH)[0].max() == 7
    assert (engine.served, local.batches) == (remote.served, [])

    remote.error, remote.trouble = EngineAwayError("It is down."), "It is down."
    assert len(engine.infer(BATCH)[0]) == 3
    assert local.batches == [3]
    assert engine.served.engine == local.served.engine
    assert "in Triton's place. It is down." in str(engine.served.fallback)
    assert engine.trouble is None  # somebody answers

    remote.error, remote.trouble = None, None
    assert engine.served == remote.served  # before a further batch, too
    assert engine.infer(BATCH)[0].max() == 7


def test_a_single_error_of_the_server_costs_its_own_batch_alone() -> None:
    remote, local = FakeRemote(), FakeEngine()
    engine = StandbyEngine(remote, local)
    remote.error = TritonError("It has a bug.", "INTERNAL")
    engine.infer(BATCH)
    assert "It has a bug." in str(engine.served.fallback)
    remote.error = None
    engine.infer(BATCH)
    assert engine.served.fallback is None


def test_pictures_that_the_server_cannot_take_go_the_other_way() -> None:
    remote = FakeRemote()
    engine = StandbyEngine(remote, FakeEngine())
    assert engine.detect_pictures([b"x"], []) == [PictureRefusal("corrupt_picture", "no picture")]
    remote.error = EngineAwayError("It is down.")
    assert engine.detect_pictures([b"x"], []) is None


def test_both_are_closed() -> None:
    remote, local = FakeRemote(), FakeEngine()
    StandbyEngine(remote, local).close()
    assert remote.closed


def test_an_engine_without_an_address_says_how_to_name_one() -> None:
    with pytest.raises(ProviderError, match="SIGHTLINE_TRITON_GRPC_URL"):
        load_remote(SPEC, None)
    with pytest.raises(ProviderError, match="no address for http"):
        load_remote(SPEC, TritonOptions(grpc_url="there:8001", protocol="http"))


@pytest.mark.parametrize(
    ("first_s", "longest_s", "waits_s"),
    [(1, 1, [1, 1, 1]), (1, 8, [1, 2, 4, 8, 8]), (3, 8, [3, 6, 8, 8])],
)
def test_probes_come_ever_rarer_and_never_end(
    first_s: float, longest_s: float, waits_s: list[float]
) -> None:
    assert list(itertools.islice(delays(first_s, longest_s), len(waits_s))) == waits_s


class Probe:
    """Fails a number of times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self.well = threading.Event()

    def __call__(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.asked += 1
        self.at_once -= 1
        if self.asked <= self.failures:
            raise EngineAwayError(f"Still down, {self.asked}.")
        self.well.set()


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        threading.Event().wait(0.002)


def test_a_server_that_is_away_is_asked_by_one_probe_at_a_time_until_it_answers() -> None:
    probe = Probe(failures=2)
    away = Away(probe, first_s=0.001, longest_s=0.002)
    for _ in range(5):  # batches that were under way
        away.failed(EngineAwayError("It is down."))
    assert away.trouble is not None
    assert probe.well.wait(10)
    until(lambda: away.trouble is None)
    assert (probe.asked, probe.most_at_once) == (3, 1)
    away.failed(EngineAwayError("Down again."))  # it can open anew
    until(lambda: probe.asked == 4)


@pytest.mark.parametrize(
    ("failures", "answers_after", "open_"),
    [(0, None, False), (2, None, False), (FAILURES_IN_A_ROW, None, True), (4, 2, False)],
)
def test_errors_that_the_server_answers_open_the_breaker_only_in_a_row(
    failures: int, answers_after: int | None, open_: bool
) -> None:
    away = Away(Probe(0), first_s=60)
    for number in range(failures):
        if number == answers_after:
            away.answered()
        away.failed(TritonError("A bug."))
    assert (away.trouble is not None) is open_
    away.close()


def test_a_full_queue_is_a_sign_of_life() -> None:
    probe = Probe(0)
    away = Away(probe, first_s=60)
    for _ in range(2 * FAILURES_IN_A_ROW):
        away.failed(ModelBusyError("Its queue is full."))
    assert away.trouble is None
    away.close()


def test_a_probe_that_finds_it_busy_has_found_it_well() -> None:
    def probe() -> None:
        raise ModelBusyError("Its queue is full.")

    away = Away(probe, first_s=0.001)
    away.failed(EngineAwayError("It is down."))
    until(lambda: away.trouble is None)


def test_what_the_last_probe_found_is_what_is_told() -> None:
    said = threading.Event()

    def probe() -> None:
        said.set()
        raise ProviderError("Another model bears its name.")

    away = Away(probe, first_s=0.001, longest_s=60)
    away.failed(EngineAwayError("It is down."))
    assert said.wait(10)
    until(lambda: away.trouble == "Another model bears its name.")
    away.close()


def test_a_closed_one_probes_no_more() -> None:
    probe = Probe(failures=0)
    away = Away(probe, first_s=0.001)
    away.close()
    away.failed(SightlineError("It is down."))
    away.failed(EngineAwayError("It is down."))
    assert away.trouble is None
    assert probe.asked == 0
