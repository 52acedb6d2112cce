"""The callback of a WebRTC stream: newest boxes on newest frame, never waiting."""

from __future__ import annotations

import time
from typing import cast

import av

from sightline_engines.draw import draw_detections
from sightline_engines.types import Detections, Image
from sightline_frontend.client import LiveClient
from sightline_frontend.controls import Choice
from sightline_frontend.exchange import Seen
from sightline_frontend.stats import LiveStats

STALE_S = 3.0  # boxes older than this mislead


class WebRtcStream:
    """One viewer's stream; `frame` is called on streamlit-webrtc's thread."""

    def __init__(self, url: str, jpeg_quality: int) -> None:
        self.stats = LiveStats()
        self.client = LiveClient(url, jpeg_quality, self.stats)
        self._labels: tuple[str, ...] = ()
        self._last_frame_s: float | None = None
        self._drawn: Seen | None = None

    @property
    def last_frame_s(self) -> float | None:
        """When the last picture came, on the clock of `time.monotonic`."""
        return self._last_frame_s

    def configure(self, choice: Choice) -> None:
        """Change what is detected, and the names to draw."""
        self._labels = choice.labels
        self.client.configure(choice.settings, choice.input_size_wh)

    def frame(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return the picture with the newest known boxes."""
        came_s = self._last_frame_s = time.monotonic()
        image = cast(Image, frame.to_ndarray(format="bgr24"))
        self.client.offer(image, came_s)
        seen = self.client.seen
        if seen is not None and came_s - seen.came_s < STALE_S:
            boxes = scaled(seen.result.detections, seen.result.size_wh, image)
            draw_detections(image, boxes, self._labels)
        now_s = time.monotonic()
        self.stats.picture(now_s)
        if seen is not None and seen is not self._drawn:
            self._drawn = seen
            self.stats.drawn(now_s, (now_s - seen.came_s) * 1e3, seen.frame)
        return av.VideoFrame.from_ndarray(image, format="bgr24")


def scaled(detections: Detections, size_wh: tuple[int, int], image: Image) -> Detections:
    """Return detections of a picture of `size_wh` in the pixels of `image`."""
    height, width = image.shape[:2]
    scale_x, scale_y = width / size_wh[0], height / size_wh[1]
    xyxy = detections.xyxy * [scale_x, scale_y, scale_x, scale_y]
    return Detections(
        xyxy.astype("float32"), detections.score, detections.class_id, detections.track_id
    )
