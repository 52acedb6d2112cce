"""The pages Models and Benchmark as an engineer uses them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Site

LONG_MS = 30_000


class WorkshopPage:
    """One of the two pages in a tab of its own."""

    def __init__(self, page: Page, site: Site, path: str) -> None:
        self.page = page
        self._api = site.backend.ready_url.removesuffix("/health")
        page.goto(f"{site.address}/{path}")
        expect(page.get_by_role("heading", name=path.capitalize(), exact=True)).to_be_visible(
            timeout=LONG_MS
        )
        boxes = page.locator('[data-testid="stExpander"]')
        expect(boxes.last).to_be_visible(timeout=LONG_MS)
        self.settled()

    def named(self, key: str) -> Locator:
        """What a widget's or container's key names."""
        return self.page.locator(f".st-key-{key}")

    def settled(self) -> None:
        """Wait until the page's script has run."""
        self.page.wait_for_timeout(300)
        running = self.page.locator('[data-testid="stApp"][data-test-script-state="running"]')
        expect(running).to_have_count(0, timeout=LONG_MS)

    def press(self, key: str) -> None:
        """Press the button of a key."""
        button = self.named(key).get_by_role("button").first
        expect(button).to_be_enabled(timeout=LONG_MS)
        button.click()
        self.settled()

    def choose(self, key: str, option: str) -> None:
        """Choose an entry of a select box, by keyboard."""
        box = self.named(key).get_by_role("combobox")
        box.click()
        self.page.get_by_role("option", name=option, exact=True).click()
        self.settled()

    def tick(self, key: str) -> None:
        """Tick a check box."""
        self.named(key).locator("label").first.click()
        self.settled()

    def says(self, text: str, within_ms: int = LONG_MS) -> None:
        """Wait until the page shows some words."""
        expect(self.page.get_by_text(text).first).to_be_visible(timeout=within_ms)

    def tab(self, name: str) -> None:
        """Turn to a tab."""
        self.page.get_by_role("tab", name=name).click()
        self.settled()

    def ask(self, path: str) -> Any:
        """Return what the server itself answers."""
        return httpx.get(f"{self._api}{path}", timeout=10, trust_env=False).json()

    def download(self, key: str, folder: Path) -> Path:
        """Press a download button, and return the file."""
        with self.page.expect_download(timeout=LONG_MS) as waiting:
            self.named(key).get_by_role("button").click()
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    def fine(self) -> None:
        """Nothing failed, and nothing is wider than the window."""
        self.page.wait_for_timeout(300)
        failed = self.page.locator('[data-testid="stException"]')
        assert failed.count() == 0, self.page.inner_text("body")
        wide = "document.documentElement.scrollWidth > window.innerWidth + 1"
        assert not self.page.evaluate(wide), "the page must not scroll sideways"


def dozen(data: Path, target: Path, *, most: int = 12) -> Path:
    """Write a zip with a few real pictures and their labels, COCO's way."""
    labels = json.loads((data / "coco" / "annotations" / "instances.json").read_text())
    persons = {one["image_id"] for one in labels["annotations"] if one["category_id"] == 1}
    images = [one for one in labels["images"] if one["id"] in persons][:most]
    kept = {one["id"] for one in images}
    few = {
        "images": images,
        "annotations": [one for one in labels["annotations"] if one["image_id"] in kept],
        "categories": labels["categories"],
    }
    with zipfile.ZipFile(target, "w") as packed:
        packed.writestr("annotations/instances.json", json.dumps(few))
        for one in images:
            packed.write(data / "coco" / "images" / one["file_name"], f"images/{one['file_name']}")
    return target
