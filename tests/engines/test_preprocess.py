"""Letterboxing: the picture keeps its shape, fills its place and boxes map back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_engines.preprocess import letterbox_into, preprocess
from sightline_engines.types import Family, Image, ModelSpec, Preprocess
from tests.engines import reference


def noise(width: int, height: int) -> Image:
    rng = np.random.default_rng(width * 10007 + height)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def spec(centre: bool, size_wh: tuple[int, int]) -> ModelSpec:
    place: Literal["centre", "topleft"] = "centre" if centre else "topleft"
    return ModelSpec(
        "t", Path("t.onnx"), Family.YOLOV8, size_wh, ("a",), preprocess=Preprocess(letterbox=place)
    )


def test_no_pictures_are_an_empty_batch() -> None:
    batch = preprocess([], spec(True, (64, 32)))
    assert batch.tensor.shape == (0, 32, 64, 3)
    assert batch.letterboxes == ()


@pytest.mark.parametrize("size", [(64, 64), (640, 480), (480, 640), (333, 517), (1279, 601)])
@pytest.mark.parametrize("centre", [True, False])
def test_a_batch_is_what_the_published_letterbox_gives(size: tuple[int, int], centre: bool) -> None:
    image = noise(*size)
    batch = preprocess([image, image[:, ::-1]], spec(centre, (160, 128)))
    expected, ratio, left, top = reference.letterboxed(image, (160, 128), centre)
    box = batch.letterboxes[0]
    assert (box.pad_x, box.pad_y, box.width, box.height) == (left, top, *size)
    assert box.scale_x * size[0] == pytest.approx(ratio * size[0], abs=1)
    np.testing.assert_array_equal(batch.tensor[0], expected)


@settings(deadline=None)
@given(
    st.integers(1, 300), st.integers(1, 300), st.integers(1, 64), st.integers(1, 64), st.booleans()
)
def test_any_picture_lies_inside_its_place_with_grey_around(
    width: int, height: int, out_width: int, out_height: int, centre: bool
) -> None:
    out = np.full((out_height, out_width, 3), 7, np.uint8)
    box = letterbox_into(out, np.zeros((height, width, 3), np.uint8), centre, 114)
    inside = (round(box.scale_x * width), round(box.scale_y * height))
    assert out_width - inside[0] <= 1 or out_height - inside[1] <= 1
    assert (out == 0).sum() == inside[0] * inside[1] * 3
    assert (out == 114).sum() == out.size - inside[0] * inside[1] * 3


@pytest.mark.parametrize("size", [(640, 480), (1281, 721), (480, 641)])
@pytest.mark.parametrize("centre", [True, False])
def test_a_reduced_picture_takes_its_sources_place(size: tuple[int, int], centre: bool) -> None:
    half = noise(-(-size[0] // 2), -(-size[1] // 2))
    model = spec(centre, (160, 128))
    reduced, whole = preprocess([half], model, [size]), preprocess([noise(*size)], model)
    assert reduced.letterboxes == whole.letterboxes
    np.testing.assert_array_equal(
        (reduced.tensor == 114).all(axis=3), (whole.tensor == 114).all(axis=3)
    )


def test_a_picture_reduced_to_its_place_is_taken_as_it_is() -> None:
    image = noise(64, 32)
    batch = preprocess([image], spec(False, (64, 64)), [(128, 64)])
    np.testing.assert_array_equal(batch.tensor[0, :32], image)
    assert batch.letterboxes[0].scale_x == 0.5


@pytest.mark.parametrize("sizes", [[], [(8, 8)] * 2])
def test_there_is_a_size_for_each_picture(sizes: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="zip"):
        preprocess([noise(8, 8)], spec(True, (32, 32)), sizes)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
    ],
)
def test_what_is_no_picture_is_refused_with_its_shape(image: Image) -> None:
    with pytest.raises(ValueError, match=r"uint8 \(height, width, 3\) BGR, got"):
        preprocess([image], spec(True, (32, 32)))
