"""A live stream's figures on its page, on the monitor page, and of the real Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Site
from tests.browser.live_page import LivePage
from tests.browser.monitor_page import MonitorPage
from tests.monitoring.prometheus_server import PrometheusServer, prometheus

pytestmark = pytest.mark.browser

START_S = 15.0
STRIP_S, MONITOR_S = 5.0, 10.0  # the windows of the strip's and of the monitor's figures
WATCH_S = 30.0
SERVER_STAGES = ("decode", "queue", "preprocess", "infer", "postprocess")

_STRIP = """(strip) => {
    const number = (name) =>
        parseFloat(strip.querySelector(`[data-figure="${name}"] dd`)?.textContent);
    const stages = {};
    for (const part of strip.querySelectorAll(".stages i")) {
        const [name, value] = part.title.split(": ");
        stages[name] = parseFloat(value);
    }
    return { fps: number("detection-fps"), p50: number("p50"), stages };
}"""


@dataclass(frozen=True, slots=True)
class Seen:
    """Figures of the same seconds, in frames a second and ms; `server`: all stages there."""

    fps: float
    infer: float
    server: float
    p50: float


@pytest.fixture
def window(browser: Browser) -> Iterator[Page]:
    """Return a page in a window of its own: browsers slow the cameras of hidden tabs down."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


def live_stream(page: Page, site: Site) -> LivePage:
    live = LivePage(page, site.address, "Direct")
    live.start()
    live.until(live.picture_runs, START_S, "the picture")
    live.until(live.detects, START_S, "the first box")
    return live


def test_the_live_page_the_monitor_and_prometheus_say_the_same(
    page: Page, window: Page, site: Site, tmp_path: Path
) -> None:
    """Compare the figures of the same seconds of one live stream that the engine is busy with.

    The strip's and the monitor's figures slide over 5 and 10 s, so they are read every second
    and averaged; Prometheus is asked once for the whole time. The stream is the only traffic.
    """
    target = urlsplit(site.backend.ready_url).netloc
    with prometheus(tmp_path, {"sightline": target}, every_s=0.5, rules=False) as server:
        live = live_stream(page, site)
        monitor = MonitorPage(window, site.address)
        live.page.wait_for_timeout(3_000)  # the engine and the page find their pace
        strip, shown = _watch(live, monitor)
        scraped = _scraped(server, time.time())
        assert (monitor.figure("Age of an answer") or 0) > 0
        assert (monitor.figure("Engine busy") or monitor.figure("GPU in use") or 0) > 0
        assert "1 stream" in monitor.page.inner_text("body")
        assert live.detects(), "the other window doesn't stop the stream"
    print(f"\nstrip {strip}\nmonitor {shown}\nprometheus {scraped}")
    assert strip.fps == pytest.approx(scraped.fps, rel=0.05)
    assert strip.infer == pytest.approx(scraped.infer, rel=0.05)
    assert strip.server == pytest.approx(scraped.server, rel=0.05)
    assert shown.fps == pytest.approx(scraped.fps, rel=0.05)
    assert shown.infer == pytest.approx(scraped.infer, rel=0.05)
    assert shown.fps == pytest.approx(strip.fps, rel=0.05)
    # The server's age ends when it answers, the page's when the box is drawn: the way back and
    # the wait for the screen come on top, so the one bounds the other.
    assert scraped.p50 <= strip.p50 * 1.05


def _watch(live: LivePage, monitor: MonitorPage) -> tuple[Seen, Seen]:
    """Read both pages every second; the first figures are of seconds that are watched, too."""
    strips: list[Any] = []
    tiles: list[tuple[float, float]] = []
    started_s = time.monotonic()
    while (passed_s := time.monotonic() - started_s) < WATCH_S:
        if passed_s >= STRIP_S:
            strips.append(live.strip.locator(".strip").evaluate(_STRIP))
        fps, infer = monitor.figure("Frames answered"), monitor.figure("Inference")
        if passed_s >= MONITOR_S and fps is not None and infer is not None:
            tiles.append((fps, infer))
        live.page.wait_for_timeout(max(0.0, passed_s + 1 - (time.monotonic() - started_s)) * 1e3)
    strip = Seen(
        fps=fmean(one["fps"] for one in strips),
        infer=fmean(one["stages"]["infer"] for one in strips),
        server=fmean(sum(one["stages"][name] for name in SERVER_STAGES) for one in strips),
        p50=fmean(one["p50"] for one in strips),
    )
    fps, infer = (fmean(column) for column in zip(*tiles, strict=True))
    return strip, Seen(fps, infer, strip.server, strip.p50)


def _scraped(server: PrometheusServer, at_s: float) -> Seen:
    """Ask Prometheus for the figures of the time that was watched, which has just ended."""
    span = f"[{WATCH_S:.0f}s]"

    def ask(promql: str) -> float:
        ((_, ((_, value),)),) = server.query_range(promql, at_s, at_s, 1)
        return value

    stage, queue = "sightline_stage_duration_seconds", "sightline_queue_duration_seconds"
    infer = ask(
        f'rate({stage}_sum{{stage="infer"}}{span}) / rate({stage}_count{{stage="infer"}}{span})'
    )
    stages = ask(f"sum(rate({stage}_sum{span})) / sum(rate(images_processed_total{span}))")
    waited = ask(f"rate({queue}_sum{span}) / rate({queue}_count{span})")
    return Seen(
        fps=ask(f"rate(images_processed_total{span})"),
        infer=infer * 1e3,
        server=(stages + waited) * 1e3,
        p50=ask(f"histogram_quantile(0.5, rate(sightline_result_age_seconds_bucket{span}))") * 1e3,
    )
