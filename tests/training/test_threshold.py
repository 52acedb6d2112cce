"""The default threshold follows its rule, and is measured on training pictures alone."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_training import __main__ as command
from sightline_training.measure import threshold
from sightline_training.measure.candidates import Candidate
from sightline_training.measure.threshold import NEAR, STEPS, Score, choose, training_side
from sightline_training.samples import Sample, held_out

shares = st.floats(0, 1)
tables = st.lists(st.tuples(shares, shares, st.floats(0, 20)), min_size=9, max_size=9).map(
    lambda found: [Score(c, (p, f), a) for c, (p, f, a) in zip(STEPS, found, strict=True)]
)


def score(confidence: float, f1: float, alarms: float) -> Score:
    return Score(confidence, (f1, f1), alarms)


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ([score(0.5, 0.7, 9)], 0.5),
        ([score(0.3, 0.9, 4), score(0.5, 0.8, 3), score(0.6, 0.7, 0)], 0.3),
        ([score(0.3, 0.8, 9), score(0.5, 0.79, 3), score(0.6, 0.78, 0)], 0.5),
        ([score(0.3, 0.8, 3), score(0.5, 0.8, 1)], 0.5),
    ],
)
def test_the_rule_on_tables_made_by_hand(scores: list[Score], chosen: float) -> None:
    assert choose(scores) == chosen


@given(tables)
def test_the_choice_is_near_the_best_and_no_higher_one_is(scores: list[Score]) -> None:
    chosen = choose(scores)
    best = max(one.mean_f1 for one in scores)
    near = [one.confidence for one in scores if one.mean_f1 >= best - NEAR]
    assert chosen in near
    assert chosen == max(near)


@pytest.mark.parametrize(
    ("line", "published"),
    [
        ([], ("latest.onnx", 0.45)),
        (["--conf", "0"], ("latest.onnx", 0.0)),
        (["--conf", "0.6"], ("latest.onnx", 0.6)),
        (["--model", "it.onnx"], ("it.onnx", 0.45)),
    ],
)
def test_publishing_takes_the_chosen_threshold_unless_another_is_given(
    line: list[str], published: tuple[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = []
    for name in ("runs/default/latest.onnx", "it.onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"exported")
    monkeypatch.chdir(tmp_path)

    def publish(exported: Path, data: Path, assets: Path, confidence: float) -> tuple[Path, Path]:
        assert exported.read_bytes() == b"exported"
        got.append((exported.name, confidence))
        return assets / "a.onnx", assets / "a-int8.onnx"

    def choose_while_training(model: Path, data: Path) -> tuple[float, str]:
        (tmp_path / "runs/default/latest.onnx").write_bytes(b"newer")
        return 0.45, "| a table |"

    monkeypatch.setattr("sightline_training.publish.publish", publish)
    monkeypatch.setattr(threshold, "threshold", choose_while_training)
    monkeypatch.setattr(sys, "argv", ["it", "publish", *line])
    assert command.main() == 0
    assert got == [published]


def test_without_an_empty_picture_no_alarms_are_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    person = np.asarray([[0, 0, 9, 9, 0, 1]], np.float32)
    samples = [Sample("", np.zeros((20, 20, 3), np.uint8), person)]
    monkeypatch.setattr(threshold, "training_side", lambda data, name: samples)
    it = Candidate("it", Path("it.onnx"), (0, 1), lambda _: lambda _: np.zeros((0, 6), np.float32))
    assert [one.alarms for one in threshold.score(it, Path())] == [None] * len(STEPS)


def test_thresholds_go_from_three_to_seven_tenths() -> None:
    assert STEPS == (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)


@pytest.mark.parametrize("name", ["coco", "faces"])
def test_no_picture_kept_aside_is_looked_at(
    name: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(threshold.EVERY, name, 40)
    samples = training_side(shared_data, name)
    assert len(samples) > 4
    assert not {sample.name for sample in samples} & held_out(name)
