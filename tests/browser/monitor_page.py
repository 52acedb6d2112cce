"""The monitor page as an operator reads it."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

LOST = "Failed to fetch dynamically imported module"  # Streamlit's own words


class MonitorPage:
    """The monitor page in a tab of its own."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        page.goto(f"{address}/monitor")
        tiles, lost = page.locator('[data-testid="stMetric"]'), page.get_by_text(LOST)
        expect(tiles.or_(lost).nth(3)).to_be_visible(timeout=30_000)
        if lost.count():  # a busy machine lost one of Streamlit's scripts: people load it again
            page.reload()
        expect(tiles).to_have_count(4, timeout=30_000)

    def figure(self, name: str) -> float | None:
        """A tile's number, None while it shows none."""
        tile = self.page.locator('[data-testid="stMetric"]').filter(has_text=name)
        text = tile.locator('[data-testid="stMetricValue"]').inner_text(timeout=5_000)
        number = text.split()[0].rstrip("%")
        return float(number) if number[0].isdigit() else None

    def status(self) -> str:
        """The status line, word and sentence."""
        return self.page.locator(".st-key-monitor-status").inner_text(timeout=5_000)

    def until_drawn(self, within_s: float = 30) -> None:
        """Wait for all eight charts."""
        charts = self.page.locator('[data-testid="stVegaLiteChart"]')
        expect(charts).to_have_count(8, timeout=within_s * 1e3)

    def wait_for(self, text: str, within_s: float = 30) -> None:
        """Wait until the page says something."""
        end_s = time.monotonic() + within_s
        while text not in self.page.inner_text("body"):
            assert time.monotonic() < end_s, f"{text!r} never came: {self.page.inner_text('body')}"
            self.page.wait_for_timeout(200)
