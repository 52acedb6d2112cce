"""Decoding and postprocessing: the fast way agrees with the plain one, family by family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline_engines.errors import ModelFileError
from sightline_engines.heads import check_output, decode
from sightline_engines.postprocess import DetectOptions, postprocess
from sightline_engines.types import Detections, Family, Letterbox, ModelSpec
from tests.engines import reference
from tests.engines.tiny import FAMILIES, random_raw

SQUARE = Letterbox(1.0, 1.0, 0, 0, 64, 64)


def spec_of(family: str, classes: int = 3, size_wh: tuple[int, int] = (64, 64)) -> ModelSpec:
    labels = tuple(f"c{i}" for i in range(classes))
    return ModelSpec("tiny", Path("tiny.onnx"), Family(family), size_wh, labels)


def run(raw: NDArray[Any], spec: ModelSpec, options: DetectOptions) -> Detections:
    return postprocess((raw[None].astype(np.float32),), [SQUARE], spec, [options])[0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("conf", [0.05, 0.25, 0.9])
def test_a_head_decodes_as_the_plain_reading_does(family: str, classes: int, conf: float) -> None:
    raw = random_raw(family, classes).astype(np.float32)
    found = decode(raw, spec_of(family, classes), conf)
    expected = reference.decoded(family, raw, (64, 64), conf)
    assert len(found.score) == len(expected)
    np.testing.assert_allclose(found.xyxy, [b.corners for b in expected] or np.zeros((0, 4)), 1e-4)
    np.testing.assert_allclose(found.score, [b.score for b in expected], 1e-4)
    assert found.class_id.tolist() == [b.class_id for b in expected]


@pytest.mark.parametrize("family", FAMILIES)
def test_detections_come_out_suppressed_cut_and_best_first(family: str) -> None:
    raw = random_raw(family, 3).astype(np.float32)
    found = run(raw, spec_of(family), DetectOptions(conf=0.2, iou=0.45))
    boxes = reference.decoded(family, raw, (64, 64), 0.2)
    kept = boxes if family == "end2end" else reference.suppressed(boxes, 0.45)
    expected = [reference.in_source(b, 1.0, 0, 0, (64, 64)) for b in kept]
    expected = [b for b in expected if b.x2 > b.x1 and b.y2 > b.y1]
    assert found.score.tolist() == sorted(found.score.tolist(), reverse=True)
    assert found.class_id.tolist() == [b.class_id for b in expected]
    np.testing.assert_allclose(found.xyxy, [b.corners for b in expected], atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_above_the_threshold_is_no_detection(family: str) -> None:
    raw = np.zeros_like(random_raw(family, 3))
    assert len(run(raw, spec_of(family), DetectOptions(0.25, 0.45))) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_threshold_of_zero_still_ends(family: str) -> None:
    found = run(random_raw(family, 3), spec_of(family), DetectOptions(0.0, 0.45))
    assert 0 < len(found) <= 300


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_wanted_classes_come_out(family: str) -> None:
    raw, spec = random_raw(family, 3), spec_of(family)
    everything = run(raw, spec, DetectOptions(0.1, 0.45))
    some = run(raw, spec, DetectOptions(0.1, 0.45, frozenset({0, 2})))
    assert set(everything.class_id.tolist()) == {0, 1, 2}
    assert set(some.class_id.tolist()) == {0, 2}
    assert len(run(raw, spec, DetectOptions(0.1, 0.45, frozenset()))) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_no_more_than_the_asked_number_comes_out(family: str) -> None:
    raw, spec = random_raw(family, 3), spec_of(family)
    best = run(raw, spec, DetectOptions(0.1, 0.45)).score[:2]
    assert run(raw, spec, DetectOptions(0.1, 0.45, None, 2)).score.tolist() == best.tolist()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_damaged_numbers_give_no_damaged_boxes(family: str, value: float) -> None:
    raw = random_raw(family, 3)
    raw[:, ::2] = value
    found = run(raw, spec_of(family), DetectOptions(0.1, 0.45))
    assert np.isfinite(found.xyxy).all()
    assert (found.xyxy >= 0).all()
    assert (found.xyxy <= 64).all()


def test_each_picture_of_a_batch_has_its_own_options_and_padding_is_left_out() -> None:
    spec = spec_of("end2end")
    raw = np.stack([random_raw("end2end", 3)] * 4).astype(np.float32)
    options = [DetectOptions(conf, 0.5) for conf in (0.0, 0.5, 1.0)]
    some, few, none = postprocess((raw,), [SQUARE] * 3, spec, options)
    assert len(some) > len(few) > len(none) == 0


def test_a_box_over_the_whole_input_is_the_whole_picture() -> None:
    letterbox = Letterbox(40 / 1279, 19 / 601, 12, 22, 1279, 601)
    raw = np.array([[12, 22, 52, 41, 0.9, 1]], np.float32)
    found = postprocess((raw[None],), [letterbox], spec_of("end2end"), [DetectOptions(0.5, 0.5)])
    np.testing.assert_allclose(found[0].xyxy, [[0, 0, 1279, 601]], atol=1e-2)


@pytest.mark.parametrize(
    ("family", "shape"),
    [
        ("yolox", (1, 84, 7)),
        ("yolox", (1, 80, 8)),
        ("yolov5", (1, 252, 9)),
        ("yolov8", (1, 8, 84)),
        ("end2end", (1, 300, 7)),
        ("end2end", (300, 6)),
    ],
)
def test_an_output_that_does_not_fit_its_family_is_refused(
    family: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ModelFileError, match="sidecar"):
        check_output((np.zeros(shape, np.float32),), spec_of(family))
