"""The pictures kept aside exist, and no training ever sees them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sightline_training.samples import SETS, held_out, load, truths


@pytest.mark.parametrize(("name", "least"), [("faces", 290), ("coco", 80)])
def test_held_out_pictures_exist_and_are_a_part(name: str, least: int, shared_data: Path) -> None:
    aside, everything = held_out(name), set(truths(shared_data, name))
    assert least <= len(aside) < len(everything) / 2
    assert aside <= everything
    assert all((shared_data / name / "images" / file).is_file() for file in aside)


def test_training_and_held_out_samples_are_disjoint(shared_data: Path) -> None:
    taught = {"000000000009.jpg": np.asarray([[1, 2, 30, 40, 1, 0.9]], np.float32)}
    training = {s.name for s in load(shared_data, "coco", taught, held=False)}
    kept = {s.name for s in load(shared_data, "coco", {}, held=True)}
    assert not training & kept
    assert len(training | kept) == 294


def test_lists_are_sorted_and_without_repeats() -> None:
    folder = Path(__file__).parents[2] / "engines/sightline_training/splits"
    for name in SETS:
        lines = (folder / f"{name}.txt").read_text("utf-8").split()
        assert lines == sorted(set(lines))
