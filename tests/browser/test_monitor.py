"""The monitor page: drawn in place, readable everywhere, and back after the server."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Route

from tests.browser.conftest import Site
from tests.browser.monitor_page import MonitorPage

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}


def test_the_page_updates_in_place(page: Page, site: Site) -> None:
    monitor = MonitorPage(page, site.address)
    monitor.until_drawn()
    page.wait_for_timeout(3_000)
    page.evaluate("""() => {
        window.drawn = [...document.querySelectorAll(
            '[data-testid="stVegaLiteChart"] :is(canvas, svg)')];
        window.jumps = 0;
        const last = document.querySelectorAll('[data-testid="stVegaLiteChart"]')[7];
        let top = last.getBoundingClientRect().top;
        const look = () => {
            const now = last.getBoundingClientRect().top;
            if (Math.abs(now - top) > 1) window.jumps += 1;
            top = now;
            requestAnimationFrame(look);
        };
        look();
    }""")
    page.wait_for_timeout(6_000)
    drawn, left = page.evaluate("[drawn.length, drawn.filter((c) => c.isConnected).length]")
    assert (drawn, left) == (8, 8), "no chart is made anew"
    assert page.evaluate("window.jumps") == 0
    assert monitor.status()


@pytest.mark.parametrize(
    ("size", "scheme"), [(None, "dark"), (PHONE, "light")], ids=["desktop, dark", "phone, light"]
)
def test_the_page_fits_and_shows_every_word(
    page: Page, site: Site, size: dict[str, int] | None, scheme: Any
) -> None:
    page.emulate_media(color_scheme=scheme)
    if size is not None:
        page.set_viewport_size({"width": size["width"], "height": size["height"]})
    monitor = MonitorPage(page, site.address)
    monitor.until_drawn()
    page.wait_for_timeout(1_000)
    assert page.locator('[data-testid="stException"]').count() == 0
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth + 1")
    cut = page.evaluate("""[...document.querySelectorAll(
        '[data-testid="stMetric"] *, .st-key-monitor-status *')]
        .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0
            && getComputedStyle(e).overflow !== "visible").map((e) => e.textContent)""")
    assert cut == []


def test_a_server_that_goes_and_comes_back_is_waited_for(page: Page, site: Site) -> None:
    monitor = MonitorPage(page, site.address)
    try:
        site.backend.stop()
        monitor.wait_for("doesn't answer")
    finally:
        site.backend.start()
    monitor.wait_for("Frames answered")


def test_a_script_that_got_lost_on_the_way_comes_with_a_reload(page: Page, site: Site) -> None:
    lost: list[str] = []

    def lose_one(route: Route) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route.request.url)
            route.abort()

    page.route("**/static/js/Metric.*.js", lose_one)
    assert MonitorPage(page, site.address).status()
    assert len(lost) == 1
