"""The live page with its detector at a real Triton, which is killed and comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.live_page import LivePage
from tests.browser.scene import Scene, drawn_box
from tests.browser.triton_site import MODEL, TritonSite

pytestmark = pytest.mark.browser

START_S = 45.0  # as in test_live.py
AGAIN_S = 90.0  # Triton starts, loads its models, and is tried before it is trusted again


@pytest.fixture
def through_triton(triton_site: TritonSite) -> Iterator[TritonSite]:
    """Return a site whose live video goes through Triton."""
    wish = {"artefact_id": triton_site.deployed(), "engine": "triton"}
    promoted = triton_site.tell("POST", f"/api/models/{MODEL}/promote", wish)
    assert promoted.status_code == 200, promoted.text
    yield triton_site
    triton_site.tell("POST", f"/api/models/{MODEL}/rollback").raise_for_status()


def test_live_video_through_triton_goes_on_without_it_and_says_so(
    page: Page, through_triton: TritonSite, scene: Scene
) -> None:
    live = LivePage(page, through_triton.address, "Direct")
    live.start()
    live.until(lambda: answers(live, "triton"), START_S, "an answer of Triton's")
    boxes(live, scene)
    assert not flagged(live)
    through_triton.triton.kill()
    try:
        live.until(lambda: flagged(live), START_S, "the note that a fallback answers")
        live.until(lambda: answers(live, "onnxruntime"), START_S, "an answer of the fallback's")
        boxes(live, scene)
        assert "Fallback: onnxruntime" in note(live)
    finally:
        through_triton.triton.restart()
    live.until(lambda: not flagged(live), AGAIN_S, "the end of the note")
    live.until(lambda: answers(live, "triton"), START_S, "an answer of Triton's again")
    boxes(live, scene)
    assert page.evaluate("window.neverReloaded") is True


def answers(live: LivePage, engine: str) -> bool:
    """Tell whether boxes come, and the line about the model names an engine."""
    line = live.strip.locator('[data-figure="engine"]').inner_text(timeout=5_000)
    return live.detects() and f"{engine} ·" in line


def flagged(live: LivePage) -> bool:
    """Tell whether the picture says that a fallback answers."""
    return live.bar.locator("#fallback").is_visible()


def note(live: LivePage) -> str:
    """What it says."""
    return live.bar.locator("#fallback").inner_text(timeout=5_000)


def boxes(live: LivePage, scene: Scene) -> None:
    """Wait for a box on the picture; the shipped model sees none in a rendered one."""
    live.until(live.detects, START_S, "answers")
    if not scene.rendered:
        live.until(lambda: _drawn(live), START_S, "a box")


def _drawn(live: LivePage) -> bool:
    overlay = live.overlay()
    return overlay is not None and drawn_box(overlay) is not None
