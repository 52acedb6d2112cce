"""What the live page does when something is missing, lost or forbidden."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser import processes
from tests.browser.conftest import Launch, Site
from tests.browser.live_page import LivePage, Way
from tests.frontend.fake_backend import free_port

pytestmark = pytest.mark.browser

START_S = 45.0  # as in test_live.py: a connection that is lost as it starts starts again
AGAIN_S = 40.0  # a connection that is lost anew on its way comes back later each time
WAYS: list[Way] = ["Direct", "WebRTC"]

# Keeps every connection that the page makes, so that a test can break one.
_KEEP_CONNECTIONS = """
    window.connections = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...options) { super(...options); window.connections.push(this); }
    };
"""
_CUT_SILENTLY = "window.connections.forEach((connection) => connection.close())"
_LOSE = """window.connections.forEach((connection) => {
    Object.defineProperty(connection, "connectionState", { value: "disconnected" });
    connection.dispatchEvent(new Event("connectionstatechange"));
})"""


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_backend_costs_the_boxes_but_never_the_video(
    page: Page, site: Site, way: Way
) -> None:
    live = LivePage(page, site.address, way)
    live.start()
    live.until(live.detects, START_S, "the first box")
    site.backend.stop(signal.SIGKILL)
    try:
        words = page if way == "WebRTC" else live.bar
        words.get_by_text("No connection to the detector").wait_for(timeout=15_000)
        assert live.shown_fps(2) >= 15, "the video goes on"
    finally:
        site.backend.start()
    words.get_by_text("No connection to the detector").wait_for(state="hidden", timeout=20_000)
    live.until(live.detects, START_S, "boxes after the restart")
    assert page.evaluate("window.neverReloaded") is True


@pytest.mark.parametrize("loss", [_LOSE, _CUT_SILENTLY], ids=["disconnected", "silent"])
def test_a_lost_webrtc_connection_is_started_again_by_itself(
    context: BrowserContext, page: Page, site: Site, loss: str
) -> None:
    context.add_init_script(_KEEP_CONNECTIONS)
    live = LivePage(page, site.address, "WebRTC")
    live.start()
    live.until(live.picture_runs, START_S, "the picture")
    live.until(live.detects, START_S, "the first box")
    frame = live.video_frame()
    assert frame is not None
    frame.evaluate('document.querySelector("video").srcObject.isTheOldOne = true')
    frame.evaluate(loss)
    live.until(lambda: _has_new_stream(live), START_S, "another connection")
    live.until(live.picture_runs, AGAIN_S, "the picture after the loss")
    live.until(live.detects, AGAIN_S, "boxes after the loss")
    assert page.evaluate("window.neverReloaded") is True


def _has_new_stream(live: LivePage) -> bool:
    frame = live.video_frame()
    video = frame.query_selector("video") if frame else None
    new = "(v) => Boolean(v.srcObject) && !v.srcObject.isTheOldOne"
    return video is not None and bool(video.evaluate(new))


@pytest.fixture
def lonely_page(launch: Launch, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Return a page of a Chromium started with the flags that the test asks for."""
    browser = launch(*request.param)
    page = browser.new_page()
    yield page
    browser.close()


FAKE_DEVICE = "--use-fake-device-for-media-stream"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("lonely_page", "title"),
    [
        ((), "No camera found"),
        ((FAKE_DEVICE, "--use-fake-ui-for-media-stream=deny"), "The camera is blocked"),
    ],
    indirect=["lonely_page"],
)
def test_a_camera_that_is_missing_or_forbidden_is_explained(
    lonely_page: Page, site: Site, way: Way, title: str
) -> None:
    live = LivePage(lonely_page, site.address, way)
    live.start()
    live.bar.get_by_text(title).wait_for(timeout=15_000)
    assert live.bar.get_by_role("button", name="Start").is_enabled()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "lonely_page",
    [(FAKE_DEVICE, "--host-resolver-rules=MAP cams.test 127.0.0.1")],
    indirect=True,
    ids=["http"],
)
def test_a_page_over_plain_http_says_why_there_is_no_camera(
    lonely_page: Page, site: Site, way: Way
) -> None:
    live = LivePage(lonely_page, site.address.replace("localhost", "cams.test"), way)
    live.start()
    live.bar.get_by_text("The browser only gives cameras to secure pages").wait_for(timeout=15_000)


def test_a_busy_camera_is_explained(page: Page, site: Site) -> None:
    page.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => {"
        ' throw new DOMException("in use", "NotReadableError"); };'
    )
    live = LivePage(page, site.address, "Direct")
    live.start()
    live.bar.get_by_text("The camera is busy").wait_for(timeout=15_000)


def test_an_unplugged_camera_is_noticed_and_used_again_when_it_is_back(
    page: Page, site: Site
) -> None:
    live = LivePage(page, site.address, "Direct")
    live.start()
    live.until(live.detects, START_S, "the first box")
    frame = live.video_frame()
    assert frame is not None
    frame.evaluate(
        'document.querySelector("video").srcObject.getVideoTracks()[0]'
        '.dispatchEvent(new Event("ended"))'
    )
    live.bar.get_by_text("The camera is gone").wait_for(timeout=5_000)
    frame.evaluate('navigator.mediaDevices.dispatchEvent(new Event("devicechange"))')
    live.until(live.picture_runs, START_S, "the picture")
    live.bar.get_by_text("The camera is gone").wait_for(state="hidden", timeout=15_000)


def test_ice_that_can_not_connect_is_explained(page: Page, site: Site) -> None:
    page.add_init_script(
        "window.RTCPeerConnection = class extends RTCPeerConnection {"
        ' constructor(options) { super({ ...options, iceTransportPolicy: "relay" }); } };'
    )
    live = LivePage(page, site.address, "WebRTC")
    live.start()
    page.get_by_text("The video connection can't be made.").wait_for(timeout=40_000)
    assert page.get_by_text("SIGHTLINE_ICE_SERVERS").is_visible()


def test_pages_without_a_backend_go_on_by_themselves_when_it_comes(
    page: Page, tmp_path: Path
) -> None:
    port, backend_port = free_port(), free_port()
    pages = processes.pages(port, backend_port, tmp_path / "pages.log")
    backend = processes.odd_backend(backend_port, tmp_path / "backend.log", "--yellow")
    try:
        pages.start()
        page.goto(f"http://localhost:{port}")
        page.get_by_text("doesn't answer").wait_for(timeout=30_000)
        backend.start()
        page.get_by_text("Detector at").wait_for(timeout=30_000)
    finally:
        pages.stop()
        backend.stop()
