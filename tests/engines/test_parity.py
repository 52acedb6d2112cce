"""Whether two models are told apart where they differ, and only there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from sightline_engines.assets import shipped_model
from sightline_engines.convert.parity import ParityError, check_parity, compare, iou_matrix
from sightline_engines.convert.rendered import rendered_pictures
from sightline_engines.recognise import recognise
from sightline_engines.types import Detections, ModelSpec

BOX = (10.0, 10.0, 50.0, 90.0)


def boxes(*rows: tuple[float, int, float]) -> Detections:
    """Return boxes of (score, class, pixels to the right of BOX)."""
    xyxy = [[BOX[0] + x, BOX[1], BOX[2] + x, BOX[3]] for _, _, x in rows]
    return Detections(
        np.array(xyxy, np.float32).reshape(-1, 4),
        np.array([score for score, _, _ in rows], np.float32),
        np.array([kind for _, kind, _ in rows], np.int32),
    )


@pytest.mark.parametrize(
    ("one", "other", "precision", "agreeing"),
    [
        ([], [], "fp32", 1.0),
        ([(0.9, 0, 0)], [], "fp32", 0.0),
        ([], [(0.9, 0, 0)], "fp32", 0.0),
        ([(0.9, 0, 0)], [(0.9, 0, 0)], "fp32", 1.0),
        ([(0.9, 0, 0)], [(0.9, 1, 0)], "fp32", 0.0),
        ([(0.9, 0, 0)], [(0.9, 0, 4)], "fp16", 0.0),  # an IoU of 0.82
        ([(0.9, 0, 0)], [(0.9, 0, 4)], "int8", 1.0),
        ([(0.9, 0, 0), (0.8, 0, 200)], [(0.9, 0, 0)], "fp32", 2 / 3),
    ],
)
def test_boxes_agree_that_have_one_class_and_lie_on_each_other(
    one: list[tuple[float, int, float]],
    other: list[tuple[float, int, float]],
    precision: str,
    agreeing: float,
) -> None:
    parity = compare([boxes(*one)], [boxes(*other)], 0.25, precision)
    assert parity.agreeing == pytest.approx(agreeing)


def test_a_box_just_around_the_threshold_is_not_missed() -> None:
    sure = [(0.9, 0, 100.0 * n) for n in range(30)]
    one = boxes(*sure, (0.27, 1, 0))
    assert compare([one], [boxes(*sure)], 0.25, "fp32").agreeing == 1
    assert compare([boxes(*sure, (0.4, 1, 0))], [boxes(*sure)], 0.25, "fp32").agreeing < 1


def test_where_little_is_sure_the_less_sure_boxes_are_compared() -> None:
    faint = boxes(*((0.1, 0, 100.0 * n) for n in range(10)))
    assert compare([faint], [boxes()], 0.5, "fp32").agreeing == 0


@pytest.mark.parametrize(
    ("boxes_", "moved", "precision", "passes"),
    [
        (0, 0, "fp32", True),
        (37, 0, "fp16", True),
        (37, 1, "fp16", True),  # 97.3 % of both models' boxes
        (37, 1, "fp32", True),
        (37, 2, "fp16", False),
        (3, 1, "fp16", False),
        (1, 1, "fp16", False),
        (200, 1, "fp32", True),
        (200, 2, "fp32", False),
        (200, 4, "fp16", True),
        (200, 5, "fp16", False),
        (10, 2, "int8", True),
        (10, 3, "int8", False),
    ],
)
def test_one_box_that_moved_is_spared_where_there_are_few(
    boxes_: int, moved: int, precision: str, passes: bool
) -> None:
    rows = [(0.9, 0, 100.0 * n) for n in range(boxes_)]
    other = [(0.9, 0, x + 50) if n < moved else (0.9, 0, x) for n, (_, _, x) in enumerate(rows)]
    parity = compare([boxes(*rows)], [boxes(*other)], 0.25, precision)
    assert (parity.agreeing >= parity.least_agreeing) == passes


@given(st.lists(st.tuples(st.floats(0.3, 1), st.integers(0, 3), st.floats(0, 500)), max_size=12))
def test_a_model_agrees_with_itself(rows: list[tuple[float, int, float]]) -> None:
    found = boxes(*rows)
    assert compare([found], [found], 0.25, "fp32").agreeing == 1


def test_the_overlap_of_boxes_is_their_shared_part() -> None:
    shared = iou_matrix(boxes((1, 0, 0)).xyxy, boxes((1, 0, 0), (1, 0, 20), (1, 0, 40)).xyxy)
    assert shared.tolist()[0] == pytest.approx([1, 1 / 3, 0])


def test_drawn_pictures_are_the_same_each_time_and_differ_among_themselves() -> None:
    first, again = rendered_pictures(2), rendered_pictures(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])


@pytest.fixture(scope="module")
def source() -> ModelSpec:
    return recognise(shipped_model())


@pytest.mark.parametrize("pictures", ["drawn", "real"])
def test_a_model_with_damaged_weights_fails(
    source: ModelSpec, pictures: str, shared_data: Path, tmp_path: Path
) -> None:
    model = onnx.load(source.path)
    rng = np.random.default_rng(0)
    for tensor in list(model.graph.initializer)[::3]:
        values = numpy_helper.to_array(tensor).copy()
        if values.ndim == 4:
            rng.shuffle(values)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(model.SerializeToString())
    faces = sorted((shared_data / "faces").rglob("*.jpg"))[:8] if pictures == "real" else []
    with pytest.raises(ParityError, match="must"):
        check_parity(source, replace(source, path=path, precision="int8"), faces)


def test_a_model_that_is_shown_other_colours_fails(source: ModelSpec, shared_data: Path) -> None:
    faces = sorted((shared_data / "faces").rglob("*.jpg"))[:8]
    made = replace(source, preprocess=replace(source.preprocess, color="rgb"))
    with pytest.raises(ParityError):
        check_parity(source, made, faces)


def test_a_model_is_on_par_with_itself(source: ModelSpec) -> None:
    parity = check_parity(source, source, [])
    assert (parity.agreeing, parity.pictures) == (1, 12)
    assert parity.boxes > 0
