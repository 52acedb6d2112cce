"""The curves that are drawn enclose the average precision that is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="evaluation needs pycocotools")

from sightline_engines.assets import shipped_model
from sightline_training.boxes import Array
from sightline_training.card.curves import draw, measure, picture
from sightline_training.measure.evaluate import average_precision
from sightline_training.samples import Sample


def case(seed: int, pictures: int) -> tuple[list[Sample], list[Array]]:
    """Make boxes of many heights, a crowd, and finds that are near some of them."""
    rng = np.random.default_rng(seed)
    samples, found = [], []
    for _ in range(pictures):
        corner = rng.uniform(0, 140, (5, 2))
        xyxy = np.concatenate((corner, corner + rng.uniform(8, 60, (5, 2))), 1)
        boxes = np.column_stack((xyxy, np.ones(5), [1, 1, 1, 1, 0])).astype(np.float32)
        near = xyxy + rng.uniform(-6, 6, xyxy.shape)
        rows = np.column_stack((near, np.ones(5), rng.uniform(0.1, 1, 5)))
        samples.append(Sample("", np.zeros((200, 200, 3), np.uint8), boxes))
        found.append(rows[rng.random(5) < 0.8].astype(np.float32))
    return samples, found


@pytest.mark.parametrize("seed", range(3))
def test_the_area_below_a_curve_is_the_reported_precision(seed: int) -> None:
    samples, found = case(seed, 8)
    every, tall = measure("model", samples, found, 1)
    reported = average_precision(samples, found, 1)
    assert every.ap50 == pytest.approx(reported.ap50, abs=0.01)
    assert tall.ap50 == pytest.approx(reported.ap50_tall, abs=0.01)


def test_scores_fall_along_a_curve() -> None:
    every, _ = measure("model", *case(1, 8), 1)
    assert (np.diff(every.score) <= 0).all()
    assert every.score[0] > 0.5


@pytest.mark.parametrize("confidence", [0.0, 0.5, 1.0])
def test_a_picture_is_written_with_and_without_a_point_to_mark(
    confidence: float, tmp_path: Path
) -> None:
    curves = [*measure("model", *case(1, 8), 1), measure("peer", *case(2, 8), 1)[0]]
    picture([curves, curves], confidence, tmp_path / "new/curves.png")
    assert (tmp_path / "new/curves.png").stat().st_size > 5000


def test_a_folder_without_material_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"yolox_nano.onnx.*--data names the folder"):
        draw(shipped_model(), tmp_path, tmp_path / "curves.png")
