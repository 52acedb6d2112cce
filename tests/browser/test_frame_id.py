"""From the page's strip to the log line and the trace of one frame, through the real programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.backend.otlp_receiver import Collector, collecting
from tests.browser import processes
from tests.browser.live_page import LivePage, Way
from tests.frontend.fake_backend import free_port

pytestmark = pytest.mark.browser

START_S = 45.0
WAYS: list[Way] = ["Direct", "WebRTC"]


@dataclass(frozen=True, slots=True, eq=False)
class TracedSite:
    """Pages and their server, whose log and traces can be read."""

    address: str
    log: Path
    collector: Collector

    def line(self, trace_id: str) -> dict[str, Any] | None:
        """Return the log line that names a trace."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return next((line for line in lines if line.get("trace_id") == trace_id), None)


@pytest.fixture(scope="module")
def traced_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracedSite]:
    folder = tmp_path_factory.mktemp("traced")
    port, backend_port = free_port(), free_port()
    with collecting() as collector:
        backend = processes.backend(
            backend_port,
            folder / "backend.log",
            models_dir=str(folder / "models"),
            log_format="json",
            trace_to=collector.url,
            deadline_ms="5000",
        )
        pages = processes.pages(port, backend_port, folder / "pages.log")
        try:
            backend.start()
            pages.start()
            yield TracedSite(f"http://localhost:{port}", folder / "backend.log", collector)
        finally:
            pages.stop()
            backend.stop()


@pytest.mark.parametrize("way", WAYS)
def test_the_strips_slowest_frame_leads_to_its_log_line_and_trace(
    page: Page, traced_site: TracedSite, way: Way
) -> None:
    live = LivePage(page, traced_site.address, way)
    live.start()
    slowest = live.strip.locator(".slowest button")
    seen: list[str] = []

    def traced() -> bool:
        """Read both at once: the next moment another frame may be the slowest."""
        text, seen[:] = slowest.evaluate("b => [b.innerText, [b.dataset.id]]", timeout=1_000)
        return "traced" in text

    live.until(traced, START_S, "a traced frame")
    (trace_id,) = seen

    live.until(lambda: traced_site.line(trace_id), START_S, "the log line")
    line = traced_site.line(trace_id)
    assert line is not None
    assert (line["event"], line["outcome"]) == ("frame traced", "answered")
    assert trace_id == f"{line['stream']}{line['seq']:08x}"

    spans = traced_site.collector.wait_for(trace_id)
    hops = ["client", "queue", "decode", "preprocess", "infer", "postprocess", "answer"]
    assert sorted(spans) == sorted(["frame", *hops])
    assert spans["frame"].attributes["sightline.engine"] in ("openvino", "onnxruntime")
    edges = [edge for hop in hops for edge in (spans[hop].start_ns, spans[hop].end_ns)]
    assert edges == sorted(edges)


@pytest.mark.parametrize("way", WAYS)
def test_the_frames_id_is_copied_by_a_click(page: Page, traced_site: TracedSite, way: Way) -> None:
    page.context.grant_permissions(["camera", "clipboard-read", "clipboard-write"])
    live = LivePage(page, traced_site.address, way)
    live.start()
    slowest = live.strip.locator(".slowest button")
    live.until(slowest.is_visible, START_S, "the slowest frame")
    live.until(lambda: _copied(live), START_S, "the id in the clipboard")


def _copied(live: LivePage) -> bool:
    slowest = live.strip.locator(".slowest button")
    slowest.click(timeout=2_000)
    copied = str(live.page.evaluate("navigator.clipboard.readText()"))
    return len(copied) == 32 and slowest.get_attribute("title", timeout=500) is not None
