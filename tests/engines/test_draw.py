"""Drawing: readable, inside the picture, and steady in colour and memory."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline_engines.draw import class_color, draw_detections
from sightline_engines.types import Detections, Image

LABELS = ("person", "a class with a really long name", "Größe 人")


def some(*boxes: tuple[float, float, float, float], class_id: int = 0) -> Detections:
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(n, 4),
        np.linspace(0.9, 0.3, n).astype(np.float32),
        np.full(n, class_id, np.int32),
    )


def black(width: int, height: int) -> Image:
    return np.zeros((height, width, 3), np.uint8)


def test_no_detections_leave_the_picture_as_it_is() -> None:
    image = black(64, 48)
    assert draw_detections(image, Detections.empty(), LABELS) is image
    assert not image.any()


def test_it_draws_in_place_and_returns_the_same_picture() -> None:
    image = black(320, 240)
    assert draw_detections(image, some((50, 60, 200, 200)), LABELS) is image
    line = image[130, 45:56].max(axis=0)  # across the left side of the box
    np.testing.assert_array_equal(line, class_color(0))
    assert not image[100:190, 80:180].any()  # and nothing inside


@pytest.mark.parametrize(
    ("size", "width"), [((320, 240), 3), ((640, 480), 3), ((1280, 720), 3), ((3840, 2160), 9)]
)
def test_lines_grow_with_the_picture(size: tuple[int, int], width: int) -> None:
    image = black(*size)
    draw_detections(image, some((size[0] / 4, size[1] / 4, size[0] / 2, size[1] / 2)), LABELS)
    across = image[size[1] * 3 // 8, : size[0] * 3 // 8].any(axis=1)
    assert abs(int(across.sum()) - width) <= 1


@pytest.mark.parametrize("size", [(1, 1), (8, 6), (64, 48), (300, 20), (20, 300), (3000, 2000)])
@pytest.mark.parametrize("class_id", [0, 1, 2, 99])
def test_any_picture_size_and_label_can_be_drawn(size: tuple[int, int], class_id: int) -> None:
    width, height = size
    image = black(width, height)
    boxes = ((0, 0, width, height), (width * 0.7, 0, width, height * 0.2), (-9, -9, 9e6, 9e6))
    draw_detections(image, some(*boxes, class_id=class_id), LABELS)
    assert image.any()


def test_titles_stay_inside_the_picture_at_every_edge() -> None:
    place = black(340, 260)
    inside = place[10:-10, 10:-10].copy()
    boxes = ((0, 0, 40, 40), (300, 0, 320, 40), (0, 200, 30, 240), (300, 220, 320, 240))
    draw_detections(inside, some(*boxes, class_id=1), LABELS)
    color = np.array(class_color(1))
    chips = (inside == color).all(axis=2)
    for corner in chips[:60, :60], chips[:60, -60:], chips[-60:, :60], chips[-60:, -60:]:
        assert corner.sum() > 100


@pytest.mark.parametrize("view", ["mirrored", "cropped", "transposed", "read-only"])
def test_pictures_of_any_memory_layout_are_drawn(view: str) -> None:
    base = black(320, 240)
    image = {
        "mirrored": base[:, ::-1],
        "cropped": base[20:220, 30:300],
        "transposed": base.transpose(1, 0, 2),
        "read-only": base.copy(),
    }[view]
    if view == "read-only":
        image.flags.writeable = False
    expected = draw_detections(np.array(image, order="C"), some((50, 60, 150, 190)), LABELS)
    drawn = draw_detections(image, some((50, 60, 150, 190)), LABELS)
    np.testing.assert_array_equal(drawn, expected)
    assert (drawn is image) == (view != "read-only")
    assert base.any() == (view != "read-only")


def test_a_class_keeps_its_colour_and_neighbours_differ() -> None:
    colors = [class_color(i) for i in range(80)]
    assert colors == [class_color(i) for i in range(80)]
    assert len(set(colors)) == 80
    for a, b in pairwise(colors):
        assert np.abs(np.subtract(a, b)).sum() > 80


def test_track_numbers_are_shown() -> None:
    found = some((50, 60, 150, 190))
    tracked = Detections(found.xyxy, found.score, found.class_id, np.array([7], np.int32))
    with_track = draw_detections(black(320, 240), tracked, LABELS)
    assert (with_track != draw_detections(black(320, 240), found, LABELS)).any()


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 4), max_size=5),
    st.integers(1, 200),
    st.integers(1, 200),
)
def test_no_box_whatever_can_break_the_drawing(
    boxes: list[tuple[float, float, float, float]], width: int, height: int
) -> None:
    draw_detections(black(width, height), some(*boxes), LABELS)


def test_drawing_takes_no_memory_with_it() -> None:
    import psutil

    image = np.zeros((480, 640, 3), np.uint8)
    found = some(*((i * 20, i * 15, i * 20 + 90, i * 15 + 70) for i in range(20)))

    def drawn() -> int:
        for _ in range(100):
            draw_detections(image[:, ::-1], found, LABELS)
        return int(psutil.Process().memory_info().rss)

    drawn()
    settled = drawn()
    for _ in range(3):
        last = drawn()
    assert last - settled < 10 * 2**20
