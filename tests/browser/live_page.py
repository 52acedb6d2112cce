"""The live page as a visitor handles it."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from playwright.sync_api import Error, Frame, FrameLocator, Page

from sightline_engines.types import Image

Way = Literal["Direct", "WebRTC"]

_GRAB = """(element) => {
    const canvas = document.createElement("canvas");
    canvas.width = element.videoWidth || element.width;
    canvas.height = element.videoHeight || element.height;
    if (!canvas.width) return "";
    canvas.getContext("2d").drawImage(element, 0, 0);
    return canvas.toDataURL("image/png").split(",")[1];
}"""

_COUNT_FRAMES = """(video) => {
    video.shownFrames ??= 0;
    const count = () => { video.shownFrames += 1; video.requestVideoFrameCallback(count); };
    if (!video.counting) { video.counting = true; video.requestVideoFrameCallback(count); }
    return video.shownFrames;
}"""


def _holds(condition: Callable[[], object]) -> bool:
    try:
        return bool(condition())
    except Error:
        return False


class LivePage:
    """One visitor on the live page, by one way of transport."""

    def __init__(self, page: Page, address: str, way: Way) -> None:
        self.page = page
        self.way = way
        page.goto(f"{address}/live")
        page.get_by_text("WebRTC", exact=True).first.wait_for(timeout=30_000)
        if way == "WebRTC":
            page.get_by_text("WebRTC", exact=True).first.click()
        page.evaluate("window.neverReloaded = true")

    @property
    def bar(self) -> FrameLocator:
        """The component with start button, camera choice and messages."""
        key = "live-direct" if self.way == "Direct" else "live-camera"
        return self.page.frame_locator(f".st-key-{key} iframe")

    @property
    def strip(self) -> FrameLocator:
        """The component with the figures."""
        key = "live-direct" if self.way == "Direct" else "live-strip"
        return self.page.frame_locator(f".st-key-{key} iframe")

    def start(self) -> None:
        """Press START."""
        self.bar.locator("#toggle:enabled").click(timeout=30_000)

    def video_frame(self) -> Frame | None:
        """The frame that shows the picture, once it is there."""
        mark = "streamlit_webrtc" if self.way == "WebRTC" else "sightline_live"
        for frame in reversed(self.page.frames):
            if mark in frame.url and not frame.is_detached() and frame.query_selector("video"):
                return frame
        return None

    def picture(self) -> Image | None:
        """The video's present picture; None before there is one."""
        return self._grab("video")

    def picture_runs(self) -> bool:
        """Tell whether a picture is there and moves."""
        frame = self.video_frame()
        video = frame.query_selector("video") if frame else None
        if video is None:
            return False
        times = []
        for _ in range(2):
            times.append(float(video.evaluate("(v) => (v.readyState > 1 ? v.currentTime : 0)")))
            self.page.wait_for_timeout(150)
        return times[1] > times[0] > 0

    def heap_mb(self) -> float:
        """What the page's scripts hold in memory, rubbish collected."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 2**20

    def overlay(self) -> Image | None:
        """The boxes that are drawn over a direct picture."""
        return self._grab("#overlay")

    def figure(self, name: str) -> float | None:
        """A figure of the strip; None while it shows none."""
        tile = self.strip.locator(f'[data-figure="{name}"] dd').first
        if tile.count() == 0:
            return None
        text = tile.inner_text(timeout=5_000).split()[0]
        return float(text) if text[0].isdigit() else None

    def shown_fps(self, seconds: float) -> float:
        """Count the pictures that the browser shows for some seconds."""
        frame = self.video_frame()
        assert frame is not None
        video = frame.locator("video")
        first, start_s = int(video.evaluate(_COUNT_FRAMES)), time.monotonic()
        self.page.wait_for_timeout(seconds * 1e3)
        return (int(video.evaluate(_COUNT_FRAMES)) - first) / (time.monotonic() - start_s)

    def until(self, condition: Callable[[], object], within_s: float, what: str) -> None:
        """Wait for a condition; a frame that is replaced meanwhile means "not yet"."""
        end_s = time.monotonic() + within_s
        while not _holds(condition):
            assert time.monotonic() < end_s, f"{what} never came; the page says: {self.says()}"
            self.page.wait_for_timeout(100)

    def says(self) -> str:
        """All of the page's words, for messages of failed tests."""
        return " | ".join(self.page.inner_text("body").split("\n"))[-1500:]

    def detects(self) -> bool:
        """Tell whether boxes come."""
        return (self.figure("detection-fps") or 0) > 0

    def _grab(self, selector: str) -> Image | None:
        frame = self.video_frame()
        element = frame.query_selector(selector) if frame else None
        data = element.evaluate(_GRAB) if element else ""
        if not data:
            return None
        bytes_ = np.frombuffer(base64.b64decode(data), np.uint8)
        return np.asarray(cv2.imdecode(bytes_, cv2.IMREAD_COLOR), np.uint8)
