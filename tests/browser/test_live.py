"""Both ways of transport, from a camera's pixels to drawn boxes, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.camera_clip import number_of
from tests.browser.conftest import Site
from tests.browser.live_page import LivePage, Way
from tests.browser.processes import Program
from tests.browser.scene import Box, Scene, drawn_box, iou

pytestmark = pytest.mark.browser

START_S = 45.0  # a connection that a busy machine loses at its start is begun anew in between
WAYS: list[Way] = ["Direct", "WebRTC"]


def started(page: Page, site: Site, way: Way) -> LivePage:
    live = LivePage(page, site.address, way)
    live.start()
    live.until(live.picture_runs, START_S, "the picture")
    return live


@pytest.mark.parametrize("way", WAYS)
def test_boxes_sit_on_the_person_that_the_engine_finds(
    page: Page, site: Site, scene: Scene, way: Way
) -> None:
    live = started(page, site, way)
    live.until(live.detects, START_S, "the first box")
    samples = [sample for _ in range(10) if (sample := _sample(live)) is not None]
    overlaps = [
        max((iou(drawn, box) for box in scene.near(number)), default=0.0)
        for number, drawn in samples
    ]
    good = [overlap for overlap in overlaps if overlap >= 0.5]
    assert len(good) >= 8, f"of ten samples these were drawn, with overlaps {overlaps}"
    assert live.shown_fps(4) >= 15
    assert (live.figure("picture-fps") or 0) >= 15
    assert live.figure("p50") is not None


@pytest.mark.parametrize("way", WAYS)
def test_a_slow_detector_slows_neither_the_video_nor_fills_the_memory(
    page: Page, slow_site: Site, way: Way
) -> None:
    live = started(page, slow_site, way)
    live.until(live.detects, START_S, "the first box")
    programs: list[Program] = [slow_site.pages, slow_site.backend]
    live.shown_fps(15)  # buffers and caches fill
    before = [program.memory_mb() for program in programs]
    heap_before = live.heap_mb()
    assert live.shown_fps(60) >= 15
    assert (live.figure("detection-fps") or 0) <= 2.5, "the detector is slow indeed"
    after = [program.memory_mb() for program in programs]
    grown = [late - early for early, late in zip(before, after, strict=True)]
    assert max(grown) < 30, f"pages and server grew by {grown} MB"
    assert live.heap_mb() - heap_before < 30


def test_thresholds_change_the_running_stream(page: Page, site: Site) -> None:
    live = started(page, site, "Direct")
    live.until(live.detects, START_S, "the first box")
    sent: list[str] = []
    page.on("websocket", lambda socket: sent.append(f"a new line: {socket.url}"))
    slider = page.get_by_role("slider", name="Confidence")
    slider.focus()
    for _ in range(12):
        slider.press("ArrowRight")
    live.until(lambda: _sample(live) is None, START_S, "an empty picture at the top threshold")
    assert sent == [], "the stream must go on as it is"
    for _ in range(12):
        slider.press("ArrowLeft")
    live.until(lambda: _sample(live) is not None, START_S, "the box at the old threshold")


def test_stop_lets_go_of_the_camera_and_start_takes_it_again(page: Page, site: Site) -> None:
    live = started(page, site, "Direct")
    live.bar.get_by_role("button", name="Stop").click()
    live.until(lambda: not live.picture_runs(), 5, "the stop")
    live.start()
    live.until(live.picture_runs, START_S, "the picture")


def _sample(live: LivePage) -> tuple[int, Box] | None:
    """Return the number of the shown picture and the box drawn on it."""
    live.page.wait_for_timeout(250)
    picture = live.picture()
    canvas = live.overlay() if live.way == "Direct" else picture
    drawn = None if canvas is None else drawn_box(canvas)
    return None if picture is None or drawn is None else (number_of(picture), drawn)
