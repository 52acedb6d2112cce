"""The WebRTC callback: newest boxes on newest frame."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from sightline_engines import wire
from sightline_engines.types import Detections
from sightline_frontend.controls import Choice
from sightline_frontend.stream import WebRtcStream, scaled
from tests.frontend.fake_backend import LABELS, FakeBackend, free_port, running

ONE = Detections(
    np.array([[10, 20, 30, 40]], np.float32), np.array([0.5], np.float32), np.zeros(1, np.int32)
)


def grey_frame(width: int, height: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), format="bgr24")
    frame.pts, frame.time_base = 1, Fraction(1, 30)
    return frame


@pytest.mark.parametrize(
    ("detections", "size_wh", "shape", "xyxy"),
    [
        (Detections.empty(), (100, 100), (50, 200, 3), []),
        (ONE, (100, 100), (100, 100, 3), [[10, 20, 30, 40]]),
        (ONE, (100, 100), (50, 200, 3), [[20, 10, 60, 20]]),
        (ONE, (100, 50), (480, 640, 3), [[64, 192, 192, 384]]),
    ],
)
def test_boxes_are_scaled_to_the_frame_they_are_drawn_on(
    detections: Detections,
    size_wh: tuple[int, int],
    shape: tuple[int, int, int],
    xyxy: list[list[float]],
) -> None:
    drawn_on = np.zeros(shape, np.uint8)
    expected = np.array(xyxy, np.float32).reshape(-1, 4)
    np.testing.assert_allclose(scaled(detections, size_wh, drawn_on).xyxy, expected, rtol=1e-5)


def test_without_a_detector_the_picture_comes_back_as_it_went() -> None:
    stream = WebRtcStream(f"ws://127.0.0.1:{free_port()}/ws/detect", 80)
    image = stream.frame(grey_frame(64, 48)).to_ndarray(format="bgr24")
    assert image.shape == (48, 64, 3)
    assert int(image.max()) - int(image.min()) <= 2
    assert stream.last_frame_s is not None


def test_the_newest_boxes_are_drawn_on_frames_of_any_size() -> None:
    fake = FakeBackend(f"ws://127.0.0.1:{free_port()}")
    stream = WebRtcStream(f"{fake.url}/ws/detect", 80)
    stream.configure(Choice(wire.Settings(), LABELS))
    with running(fake):
        for _ in range(4000):
            stream.frame(grey_frame(64, 48))
            if stream.client.seen is not None:
                break
        large = stream.frame(grey_frame(640, 480)).to_ndarray(format="bgr24")
    changed = np.abs(large.astype(int) - 90).max(axis=2) > 40
    assert changed[240, 317:324].any(), "the box's right edge lies in the middle"
    assert not changed[240, 340:].any(), "nothing is drawn right of the box"
