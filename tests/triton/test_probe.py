"""What a model is tried with, and whose turn it is to change one."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from sightline_engines.errors import DeployError, SightlineError
from sightline_engines.triton.client import Answer, ModelMetadata, TensorFacts
from sightline_engines.triton.probe import Probe, probe_steps, sample
from sightline_engines.triton.turn import TakenError, turn


def test_a_turn_whose_file_was_removed_is_still_one_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with turn(file, "it", 1.0):
        file.unlink()
        with turn(file, "it", 0.0), pytest.raises(TakenError), turn(file, "it", 0.1):
            pytest.fail("two at once")


def test_a_disk_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(DeployError, match="No locks available"),
        turn(tmp_path / "lock", "it", 0.0),
    ):
        pytest.fail("no lock")


def test_a_turn_is_waited_for_and_given_up_in_time(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "lock"
    with (
        turn(file, "'webcam'", 1.0),
        pytest.raises(DeployError, match="Something else"),
        turn(file, "'webcam'", 0.1),
    ):
        pytest.fail("two at once")
    with turn(file, "'webcam'", 0.0):
        pass
    with (
        pytest.raises(DeployError, match="can't be written"),
        turn(file / "no" / "lock", "it", 0.0),
    ):
        pytest.fail("no folder")


def test_samples_fit_what_a_model_takes() -> None:
    assert sample(TensorFacts("x", "FP16", (-1, 3, 4))).shape == (1, 3, 4)
    assert sample(TensorFacts("x", "FP16", (1,))).dtype == np.float16
    assert bytes(sample(TensorFacts("x", "BYTES", (-1, 1)))[0, 0]).startswith(b"\xff\xd8")
    with pytest.raises(SightlineError, match="BF16"):
        sample(TensorFacts("x", "BF16", (1,)))


@pytest.mark.parametrize("datatype", ["BYTES", "UINT8", "FP32"])
def test_no_two_samples_are_the_same_as_a_cache_would_answer_them(datatype: str) -> None:
    facts = TensorFacts("x", datatype, (1, 8, 8, 3))
    first, second = sample(facts), sample(facts)
    assert first.shape == second.shape
    assert not np.array_equal(first, second)


def test_a_step_without_its_output_is_an_error_of_the_probe() -> None:
    from tritonclient.grpc import model_config_pb2

    ensemble = model_config_pb2.ModelConfig()
    ensemble.ensemble_scheduling.step.add(model_name="cut", output_map={"out": "out"})
    found = probe_steps(_Mute(), ensemble)  # type: ignore[arg-type]
    assert (found.ok, found.error) == (False, "'cut' answers without its output out.")


@pytest.mark.parametrize(
    ("error", "dead", "busy"),
    [
        ("", False, False),
        ("Triton at h:1 didn't answer within 2 s.", False, False),
        ("Stub process 'a_0' is not healthy.", True, False),
        ("Exceeds maximum queue size.", False, True),
    ],
)
def test_a_dead_model_is_told_from_a_busy_one(error: str, dead: bool, busy: bool) -> None:
    found = Probe(not error, error, 0.1)
    assert (found.dead, found.busy) == (dead, busy)


class _Mute:
    """A Triton whose models answer nothing."""

    def metadata(self, name: str) -> ModelMetadata:
        return ModelMetadata(name, ("1",), "", (), ())

    def infer(self, name: str, given: object, timeout_s: float) -> Answer:
        return Answer({}, name, "1")
