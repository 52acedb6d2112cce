"""Every page, clicked through, and everything the upload page does."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import pytest
from playwright.sync_api import Page

from sightline_engines.clip import ClipWriter, probe_clip
from tests.browser.camera_clip import SIZE_WH
from tests.browser.conftest import Site
from tests.browser.scene import Scene

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}


def upload(page: Page, site: Site, tab: str) -> None:
    page.goto(f"{site.address}/upload")
    page.get_by_role("tab", name=tab).click(timeout=30_000)


def download(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("tabpanel").get_by_role("button", name=name).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


@pytest.mark.parametrize("size", [None, PHONE], ids=["desktop", "phone"])
def test_every_page_opens_without_an_exception_and_fits(
    page: Page, site: Site, size: dict[str, int] | None
) -> None:
    if size is not None:
        page.set_viewport_size({"width": size["width"], "height": size["height"]})
    page.goto(site.address)
    page.get_by_role("button", name="Go live").wait_for(timeout=30_000)
    page.get_by_text("Detector at").wait_for()
    _assert_fine(page)
    page.get_by_role("button", name="Go live").click()
    page.frame_locator(".st-key-live-direct iframe").get_by_role("button", name="Start").wait_for()
    _assert_fine(page)
    page.get_by_text("WebRTC", exact=True).first.click()
    page.frame_locator(".st-key-live-camera iframe").get_by_role("button", name="Start").wait_for()
    _assert_fine(page)
    page.goto(f"{site.address}/upload")
    for tab in ("Clip", "Snapshot", "Pictures"):
        page.get_by_role("tab", name=tab).click(timeout=30_000)
        page.get_by_role("tabpanel").first.wait_for()
        _assert_fine(page)


def test_several_pictures_are_detected_and_a_broken_one_stops_no_other(
    page: Page, site: Site, scene: Scene, tmp_path: Path
) -> None:
    paths = [tmp_path / "first.jpg", tmp_path / "broken.jpg", tmp_path / "second.png"]
    cv2.imwrite(str(paths[0]), scene.images[30])
    paths[1].write_bytes(b"this is no picture")
    cv2.imwrite(str(paths[2]), scene.images[60])
    upload(page, site, "Pictures")
    page.locator('input[type="file"]').first.set_input_files(paths)
    page.get_by_text("Found", exact=True).wait_for(timeout=30_000)
    page.get_by_text("broken.jpg:").wait_for()
    shown = page.locator('[data-testid="stImage"] img')
    shown.nth(1).wait_for()  # they come after the table
    assert shown.count() == 2
    found = json.loads(download(page, "Findings (JSON)", tmp_path).read_text())
    assert [entry["file"] for entry in found] == ["first.jpg", "second.png"]
    assert found[0]["image"] == {"width": SIZE_WH[0], "height": SIZE_WH[1]}
    assert "person" in {d["class_name"] for entry in found for d in entry["detections"]}
    rows = list(csv.DictReader(download(page, "Findings (CSV)", tmp_path).read_text().splitlines()))
    assert len(rows) == sum(len(entry["detections"]) for entry in found)


def test_a_clip_comes_back_with_boxes_and_plays_in_the_browser(
    page: Page, site: Site, scene: Scene, tmp_path: Path
) -> None:
    clip = tmp_path / "walk.mp4"
    with ClipWriter(clip, SIZE_WH, 10) as writer:
        for image in scene.images[30:54]:
            writer.write(image)
    upload(page, site, "Clip")
    panel = page.get_by_role("tabpanel")
    panel.locator('input[type="file"]').set_input_files(clip)
    panel.get_by_role("button", name="Detect in this clip").click(timeout=30_000)
    panel.get_by_text("Found", exact=True).wait_for(timeout=60_000)
    video = panel.locator("video")
    page.wait_for_function("document.querySelector('video')?.readyState > 1", timeout=20_000)
    assert float(video.evaluate("(v) => v.duration")) == pytest.approx(2.4, abs=0.2)
    boxed = download(page, "Annotated clip", tmp_path)
    assert boxed.name == "walk-boxes.mp4"
    info = probe_clip(boxed)
    assert (info.width, info.height, info.frames) == (*SIZE_WH, 24)
    rows = list(csv.DictReader(download(page, "Findings (CSV)", tmp_path).read_text().splitlines()))
    assert "person" in {row["class"] for row in rows}
    assert 0 <= float(rows[-1]["time_s"]) < 2.4


def test_a_clip_that_is_none_is_explained(page: Page, site: Site, tmp_path: Path) -> None:
    clip = tmp_path / "broken.mp4"
    clip.write_bytes(b"no clip at all" * 100)
    upload(page, site, "Clip")
    panel = page.get_by_role("tabpanel")
    panel.locator('input[type="file"]').set_input_files(clip)
    panel.get_by_role("button", name="Detect in this clip").click(timeout=30_000)
    panel.get_by_text("broken.mp4: ").wait_for(timeout=30_000)
    _assert_fine(page)


def test_a_snapshot_is_detected(page: Page, site: Site) -> None:
    upload(page, site, "Snapshot")
    page.get_by_text("Use the camera").click(timeout=30_000)
    page.get_by_role("button", name="Take Photo").click(timeout=30_000)
    page.get_by_role("tabpanel").locator('[data-testid="stImage"] img').wait_for(timeout=30_000)
    _assert_fine(page)


def _assert_fine(page: Page) -> None:
    page.wait_for_timeout(500)
    assert page.locator('[data-testid="stException"]').count() == 0, page.inner_text("body")
    too_wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth + 1")
    assert not too_wide, "the page must not scroll sideways"
