"""Batches of a model that runs on a server: in its hands, failed at once, or beside it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sightline_backend.batch import BatchRun, Done, Failed, Remote, Work
from sightline_backend.measure import ASSUMED_S, measured
from sightline_backend.remote_batch import run_any
from sightline_backend.serving.engine_share import Rank
from sightline_backend.serving.turns import Machine, physical_device
from sightline_backend.settings import Settings
from sightline_backend.workers.choice import runners
from sightline_backend.workers.messages import pack_run, unpack_run
from sightline_engines.errors import EngineAwayError, EngineError
from sightline_engines.picture import PictureLimits
from sightline_engines.pipeline import DetectOptions, default_options
from sightline_engines.triton.errors import LateError
from sightline_engines.triton.remote import Call, PictureAnswer, PictureRefusal
from sightline_engines.types import Detections, ModelSpec, RawOutput, ServedModel, Tensor, Timings
from tests.fakes import SPEC, FakeEngine, encoded, grey

SERVED = ServedModel(SPEC.name, SPEC.version, "triton", "fp32", "Triton there:8001")
LIMITS = PictureLimits()


class Nobody:
    """A model without streams."""

    promised_part = 0.0
    promised_fps = 0.0


class FakeRemote:
    """A server's engine that answers as it is told."""

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.error: EngineError | None = None
        self.pictures: list[PictureAnswer | PictureRefusal] | None = None
        self.calls: tuple[Call, ...] = (Call("ok", 0.25),)
        self.sent: list[bytes] = []
        self.tensors = 0
        self._local = FakeEngine()

    @property
    def spec(self) -> ModelSpec:
        return SPEC

    @property
    def served(self) -> ServedModel:
        return SERVED

    def take_calls(self) -> tuple[Call, ...]:
        calls, self.calls = self.calls, ()
        return calls

    def infer(self, tensor: Tensor) -> RawOutput:
        self.tensors += len(tensor)
        if self.error is not None:
            raise self.error
        return self._local.infer(tensor)

    def detect_pictures(
        self, pictures: Sequence[bytes], options: Sequence[DetectOptions]
    ) -> list[PictureAnswer | PictureRefusal] | None:
        if self.error is not None:
            raise self.error
        self.sent += pictures
        return self.pictures

    def close(self) -> None:
        pass


def work(picture: bytes | None = None) -> Work:
    picture = encoded(grey(255)) if picture is None else picture
    return Work(picture, default_options(SPEC), time.monotonic(), math.inf)


def test_an_engine_of_this_machine_has_no_server_to_speak_of() -> None:
    run = run_any(FakeEngine(), [work()], LIMITS)
    assert isinstance(run.outcomes[0], Done)
    assert run.remote is None


def test_an_empty_batch_only_asks_how_the_server_is() -> None:
    engine = FakeRemote()
    engine.trouble = "It is down."
    run = run_any(engine, [], LIMITS)
    assert run.outcomes == []
    assert run.remote == Remote(SERVED, "It is down.", (Call("ok", 0.25),))
    assert not engine.tensors


def test_while_nobody_answers_frames_fail_at_once_and_say_why() -> None:
    engine = FakeRemote()
    engine.trouble = "It is down."
    run = run_any(engine, [work(), work(b"not even decoded")], LIMITS)
    assert run.outcomes == [Failed("engine_away", "It is down.")] * 2
    assert run.engine_s is None


def test_tensors_are_sent_where_the_server_takes_no_pictures() -> None:
    engine = FakeRemote()
    run = run_any(engine, [work(), work(b"no picture")], LIMITS)
    assert isinstance(run.outcomes[0], Done)
    assert isinstance(run.outcomes[1], Failed)
    assert engine.tensors == 1


def test_pictures_are_sent_as_they_are_and_bad_ones_stay_here() -> None:
    engine = FakeRemote()
    boxes = Detections(
        np.array([[1, 2, 3, 4]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int32)
    )
    engine.pictures = [
        PictureAnswer(boxes, (640, 480), 2.0, 1.0, 0.5),
        PictureRefusal("corrupt_picture", "It ends too soon."),
    ]
    frames = [work(), work(b"no picture"), work()]
    run = run_any(engine, frames, LIMITS)
    assert len(engine.sent) == 2
    assert not engine.tensors
    done, here, there = run.outcomes
    assert isinstance(done, Done)
    assert (done.size_wh, done.batch_size) == ((640, 480), 2)
    assert (done.timings.decode, done.timings.preprocess, done.timings.postprocess) == (2, 1, 0.5)
    assert isinstance(here, Failed)
    assert here.code == "unsupported_format"
    assert there == Failed("corrupt_picture", "It ends too soon.")


def test_a_batch_with_an_upload_goes_as_tensors() -> None:
    engine = FakeRemote()
    engine.pictures = []
    upload = replace(work(), picture=grey(255), size_wh=(64, 64))
    run = run_any(engine, [work(), upload], LIMITS)
    assert all(isinstance(outcome, Done) for outcome in run.outcomes)
    assert (engine.sent, engine.tensors) == ([], 2)


def test_a_server_that_fails_a_batch_of_pictures_fails_each_frame() -> None:
    engine = FakeRemote()
    engine.error = EngineAwayError("It was killed.")
    run = run_any(engine, [work(), work()], LIMITS)
    assert run.outcomes == [Failed("engine_away", "It was killed.")] * 2
    assert run.engine_s is None


def test_a_server_that_is_away_is_not_measured() -> None:
    engine = FakeRemote()
    engine.error = EngineAwayError("It is down.")
    found = measured(engine, 4, LIMITS)
    assert list(found.batch_s) == [1, 2, 4]
    assert min(found.batch_s.values()) > ASSUMED_S


def test_what_was_sent_to_measure_is_no_call_of_a_frame() -> None:
    engine = FakeRemote()
    measured(engine, 1, LIMITS)
    assert engine.take_calls() == ()


def test_a_server_that_is_too_slow_for_large_batches_is_measured_as_far_as_it_goes() -> None:
    class Slow(FakeRemote):
        def infer(self, tensor: Tensor) -> RawOutput:
            if len(tensor) > 2:
                raise LateError("It didn't answer within 2 s.")
            return super().infer(tensor)

    found = measured(Slow(), 8, LIMITS)
    assert list(found.batch_s) == [1, 2]
    assert found.per_frame_s > 0


def test_a_size_that_only_the_standby_answered_is_not_the_servers() -> None:
    class Fallen(FakeRemote):
        def infer(self, tensor: Tensor) -> RawOutput:
            if len(tensor) > 2:
                self.calls += (Call("away", 2.0),)
            return super().infer(tensor)

    assert list(measured(Fallen(), 8, LIMITS).batch_s) == [1, 2]


def test_batches_that_are_too_slow_again_and_again_become_smaller() -> None:
    engine = FakeRemote()
    engine.calls = (Call("away", 2.0, 4),)
    assert run_any(engine, [work()], LIMITS).most == 4
    assert run_any(engine, [work()], LIMITS).most is None


@pytest.mark.parametrize(
    "remote",
    [
        None,
        Remote(SERVED, None),
        Remote(SERVED, "It is down.", (Call("away", 2.0, 4), Call("ok", 0.1))),
        Remote(replace(SERVED, engine="onnxruntime", fallback="It is down."), None),
    ],
)
def test_how_the_server_is_crosses_from_the_worker(remote: Remote | None) -> None:
    done = Done(Detections.empty(), (64, 64), Timings(), 1)
    row = pack_run(BatchRun([done], 0.1, 0.2, None, remote))
    assert unpack_run(row).remote == remote


@pytest.mark.parametrize(("instances", "in_flight", "at_once"), [(1, 1, 1), (1, 2, 2), (3, 2, 3)])
def test_as_many_engines_are_at_triton_at_once_as_the_settings_say(
    instances: int, in_flight: int, at_once: int
) -> None:
    settings = Settings(
        engine="triton",
        triton_grpc_url="there:8001",
        instances=instances,
        triton_in_flight=in_flight,
    )
    assert len(runners(SPEC, settings, LIMITS)) == at_once
    turns = Machine(instances, 2, in_flight).turns("Triton there:8001")
    turns.join(Nobody(), "a")
    taken = [turns.take("a", lambda: Rank.SHARED, 60) for _ in range(at_once + 1)]
    assert [turn is not None for turn in taken] == [True] * at_once + [False]


@pytest.mark.parametrize("place", ["Triton 127.0.0.1:8001", "Triton triton.svc:8001", "triton"])
def test_every_triton_is_one_place(place: str) -> None:
    assert physical_device(place) == "triton"
