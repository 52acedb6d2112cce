"""What an engine takes, measured when it is loaded."""

from __future__ import annotations

import math
import time

import pytest

from sightline_backend.batch import Done, Work, run_batch
from sightline_backend.measure import measure, sizes_up_to
from sightline_engines.errors import EngineMemoryError
from sightline_engines.picture import PictureLimits
from sightline_engines.pipeline import default_options
from sightline_engines.types import RawOutput, Tensor
from tests.fakes import SPEC, FakeEngine, encoded, grey

LIMITS = PictureLimits()


class SmallDevice(FakeEngine):
    """Has memory for so many pictures and no more."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def infer(self, tensor: Tensor) -> RawOutput:
        if len(tensor) > self.room:
            raise EngineMemoryError("The device is out of memory.")
        return super().infer(tensor)


@pytest.mark.parametrize(
    ("largest", "sizes"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])],
)
def test_sizes_double_and_end_with_the_largest(largest: int, sizes: list[int]) -> None:
    assert sizes_up_to(largest) == sizes


def test_a_device_with_little_memory_is_measured_as_far_as_it_goes() -> None:
    assert set(measure(SmallDevice(room=5), 8, LIMITS).batch_s) == {1, 2, 4}


def test_a_device_that_cannot_run_a_single_picture_is_an_error() -> None:
    with pytest.raises(EngineMemoryError):
        measure(SmallDevice(room=0), 8, LIMITS)


def test_an_engine_that_gains_nothing_by_batches_is_not_measured_to_the_end() -> None:
    class Slower(FakeEngine):
        def infer(self, tensor: Tensor) -> RawOutput:
            time.sleep(0.005 * len(tensor) ** 2)
            return super().infer(tensor)

    assert set(measure(Slower(), 64, LIMITS).batch_s) == {1, 2, 4}


def test_decoding_is_measured_beside_the_engine() -> None:
    assert measure(FakeEngine(), 1, LIMITS).per_frame_s > 0


@pytest.mark.parametrize(("frames", "room", "most"), [(2, 1, 1), (3, 2, 2), (5, 3, 3), (8, 4, 4)])
def test_a_batch_that_is_too_large_for_the_device_runs_in_two_halves(
    frames: int, room: int, most: int
) -> None:
    works = [Work(encoded(grey(99)), default_options(SPEC), 0.0, math.inf) for _ in range(frames)]
    run = run_batch(SmallDevice(room), works, LIMITS)
    assert [type(outcome) for outcome in run.outcomes] == [Done] * frames
    assert run.most == most


def test_halves_that_are_still_too_large_fail_and_say_so() -> None:
    works = [Work(encoded(grey(99)), default_options(SPEC), 0.0, math.inf) for _ in range(8)]
    run = run_batch(SmallDevice(1), works, LIMITS)
    assert {outcome.code for outcome in run.outcomes} == {"engine_memory"}  # type: ignore[union-attr]
    assert (run.engine_s, run.most) == (None, 4)
