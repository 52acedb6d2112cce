"""The default threshold follows its rule, and is measured on training pictures alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline_training import __main__ as command
from sightline_training.measure import threshold
from sightline_training.measure.threshold import (
    MOST_ALARMS,
    NEAR,
    STEPS,
    Score,
    choose,
    training_side,
)
from sightline_training.samples import held_out

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
        ([score(0.3, 0.9, 4), score(0.5, 0.8, 3), score(0.6, 0.7, 0)], 0.5),
        ([score(0.3, 0.8, 3), score(0.5, 0.8, 1)], 0.3),
        ([score(0.3, 0.80, 9), score(0.5, 0.79, 6), score(0.6, 0.77, 4)], 0.5),
        ([score(0.3, 0.79, 6), score(0.5, 0.80, 6)], 0.5),
    ],
)
def test_the_rule_on_tables_made_by_hand(scores: list[Score], chosen: float) -> None:
    assert choose(scores) == chosen


@given(tables)
def test_the_choice_is_calm_or_near_the_best(scores: list[Score]) -> None:
    chosen = choose(scores)
    (picked,) = [s for s in scores if s.confidence == chosen]
    calm = [s.mean_f1 for s in scores if s.alarms <= MOST_ALARMS]
    if calm:
        assert picked.alarms <= MOST_ALARMS
        assert picked.mean_f1 == max(calm)
    else:
        near = [s for s in scores if s.mean_f1 >= max(s.mean_f1 for s in scores) - NEAR]
        assert picked.alarms == min(s.alarms for s in near)


@pytest.mark.parametrize(
    ("line", "published"),
    [
        ([], ("runs/default/latest.onnx", 0.45)),
        (["--conf", "0.6"], ("runs/default/latest.onnx", 0.6)),
        (["--model", "it.onnx"], ("it.onnx", 0.45)),
    ],
)
def test_publishing_takes_the_chosen_threshold_unless_another_is_given(
    line: list[str], published: tuple[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    got = []

    def publish(exported: Path, data: Path, assets: Path, confidence: float) -> tuple[Path, Path]:
        got.append((exported.as_posix(), confidence))
        return assets / "a.onnx", assets / "a-int8.onnx"

    monkeypatch.setattr("sightline_training.publish.publish", publish)
    monkeypatch.setattr(threshold, "threshold", lambda model, data: (0.45, "| a table |"))
    monkeypatch.setattr(sys, "argv", ["it", "publish", *line])
    assert command.main() == 0
    assert got == [published]


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
