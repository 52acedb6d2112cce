"""A model's way through the Deploy page, before a real Triton."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from sightline_engines.picture import encode_jpeg
from tests.browser.camera_clip import rendered_frames
from tests.browser.triton_site import DEPLOY_S, MODEL, TritonSite
from tests.browser.workshop_page import LONG_MS, WorkshopPage

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
DEPLOY_MS = int(DEPLOY_S * 1e3)
PICTURE = encode_jpeg(rendered_frames()[40])


def pictures(deploy: WorkshopPage) -> int:
    """How many pictures the card of the model counts."""
    tile = deploy.named(f"deployed-{MODEL}").locator('[data-testid="stMetric"]').first
    return int(tile.locator('[data-testid="stMetricValue"]').inner_text().replace(",", ""))


def press(deploy: WorkshopPage, key: str, says: str) -> None:
    """Press a button that takes its time, and wait for its sentence."""
    button = deploy.named(key).get_by_role("button").first
    expect(button).to_be_enabled(timeout=LONG_MS)
    button.click()
    deploy.says(says, within_ms=DEPLOY_MS)
    deploy.settled()


def deployed(deploy: WorkshopPage, number: int) -> None:
    """Deploy what the form proposes."""
    form = deploy.named("deploy-form")
    if form.locator("details").first.get_attribute("open") is None:
        form.locator("summary").first.click()
    press(deploy, "deploy-start", f"is deployed as number {number}")


def test_a_model_is_deployed_asked_rolled_back_unloaded_and_removed(
    page: Page, triton_site: TritonSite
) -> None:
    triton_site.clear()
    deploy = WorkshopPage(page, triton_site, "deploy")
    deploy.says("is ready; no model is loaded")
    deployed(deploy, 1)
    assert triton_site.active() == 1
    _counts_move(deploy, triton_site)
    deployed(deploy, 2)
    assert triton_site.active() == 2
    press(deploy, f"back-{MODEL}", "Deployment 1 serves again")
    assert triton_site.active() == 1
    assert triton_site.predict(PICTURE).json()["deployment"] == 1
    _unload_and_load(deploy, triton_site)
    deploy.press(f"ask-remove-{MODEL}")
    press(deploy, f"remove-{MODEL}", "is no longer deployed")
    assert triton_site.active() is None
    deploy.fine()


def _counts_move(deploy: WorkshopPage, site: TritonSite) -> None:
    """A picture that is sent shows up in the figures, without anybody touching the page."""
    before = pictures(deploy)
    answer = site.predict(PICTURE)
    assert answer.status_code == 200, answer.text
    assert answer.json()["deployment"] == 1
    name = deploy.named(f"deployed-{MODEL}").locator('[data-testid="stMetricValue"]').first
    expect(name).not_to_have_text(f"{before:,}", timeout=LONG_MS)
    assert pictures(deploy) > before
    card = deploy.named(f"deployed-{MODEL}")
    expect(card.get_by_text("100%")).to_be_visible(timeout=LONG_MS)
    expect(card.locator('[data-testid="stVegaLiteChart"]')).to_be_visible(timeout=LONG_MS)


def _unload_and_load(deploy: WorkshopPage, site: TritonSite) -> None:
    deploy.press(f"ask-unload-{MODEL}")
    deploy.page.wait_for_timeout(3_000)  # the page is drawn again meanwhile, and the question stays
    press(deploy, f"unload-{MODEL}", "It is unloaded.")
    refused = site.predict(PICTURE)
    assert refused.status_code >= 400
    assert refused.json()["error"]["message"].endswith((".", "?"))
    press(deploy, f"load-{MODEL}", "It is loaded and answers.")
    assert site.predict(PICTURE).status_code == 200


def test_what_is_chosen_stays_while_the_page_is_drawn_again(
    page: Page, triton_site: TritonSite
) -> None:
    deploy = WorkshopPage(page, triton_site, "deploy")
    box = deploy.named(f"deploy-delay-{MODEL}").locator("input")
    box.fill("2.5")
    page.wait_for_timeout(5_000)
    expect(box).to_have_value("2.5")
    expect(box).to_be_focused()
    page.keyboard.press("Enter")
    deploy.settled()
    page.wait_for_timeout(3_000)
    expect(box).to_have_value("2.5")


def test_a_triton_that_goes_and_comes_back_is_shown_as_it_is(
    page: Page, triton_site: TritonSite
) -> None:
    deploy = WorkshopPage(page, triton_site, "deploy")
    status = deploy.named("deploy-status")
    triton_site.triton.kill()
    try:
        expect(status.get_by_text("Down")).to_be_visible(timeout=LONG_MS)
        expect(status.get_by_text("goes on by itself")).to_be_visible(timeout=LONG_MS)
        deploy.fine()
    finally:
        triton_site.triton.restart()
    expect(status.get_by_text("is ready")).to_be_visible(timeout=LONG_MS)


@pytest.mark.parametrize(
    ("size", "scheme"), [(None, "dark"), (PHONE, "light")], ids=["desktop, dark", "phone, light"]
)
def test_the_page_fits_and_shows_every_word(
    page: Page, triton_site: TritonSite, size: Any, scheme: Any
) -> None:
    triton_site.deployed()
    triton_site.predict(PICTURE)
    page.emulate_media(color_scheme=scheme)
    if size is not None:
        page.set_viewport_size(size)
    deploy = WorkshopPage(page, triton_site, "deploy")
    expect(deploy.named(f"deployed-{MODEL}")).to_be_visible(timeout=LONG_MS)
    deploy.fine()
    cut = page.evaluate("""[...document.querySelectorAll(
        '[data-testid="stMetric"] *, .st-key-deploy-status *')]
        .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0
            && getComputedStyle(e).overflow !== "visible").map((e) => e.textContent)""")
    assert cut == []
