"""Teachers give trust to what they are sure of and leave the rest alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sightline_training.boxes import Array
from sightline_training.detectors import rfb, yolox
from sightline_training.samples import Picture, held_out, read_picture
from sightline_training.teachers import teach


def test_sure_and_unsure_finds() -> None:
    def finder(bgr: Picture) -> Array:
        return np.asarray(
            [[10, 10, 30, 30, 1, 0.9], [60, 10, 80, 30, 1, 0.5], [1, 1, 9, 9, 1, 0.1]], np.float32
        )

    rows = teach(np.zeros((40, 200, 3), np.uint8), finder, sure=0.7, unsure=0.3)
    # Four: the finder answers the same for the mirrored picture.
    assert rows[:, 5].tolist() == np.asarray([0.9, 0.9, 0, 0], np.float32).tolist()
    assert sorted(rows[:, 0].tolist()) == [10, 60, 120, 170]


def test_real_teachers_agree_with_drawn_labels(shared_data: Path) -> None:
    name = sorted(held_out("faces"))[0]
    bgr = read_picture(shared_data / "faces/images" / name)
    for detector, label in (
        (yolox(shared_data / "weights/yolox_nano.onnx", {0: 0}), 0),
        (rfb(shared_data / "weights/version-RFB-320.onnx"), 1),
    ):
        rows = teach(bgr, detector, sure=0.3, unsure=0.1)
        assert rows.shape[1] == 6
        assert (rows[:, 4] == label).all()
        assert rows[:, :4].min(initial=0) >= 0
