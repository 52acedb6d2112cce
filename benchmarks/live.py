"""Measure the live page in a real headless Chromium, by both ways of transport.

    python -m benchmarks.live            # the table, and benchmarks/out/live.{md,json}

A clip with a number in each picture is the camera. For each way the page runs for a while;
what is told is how late the video is behind the camera (read from the numbers), how late
boxes are, and beside it what the engine takes for the same pictures when it runs alone.

The direct way measures its boxes from capture to drawn itself. By WebRTC the boxes' lateness is
the video's, plus the time from a picture's arrival in the frontend to its drawn boxes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Browser, sync_playwright

from sightline_engines.detector import Detector
from sightline_engines.picture import PictureLimits, decode_picture, encode_jpeg
from sightline_engines.types import Image
from tests.browser import processes
from tests.browser.camera_clip import film_frames, rendered_frames, write_camera
from tests.browser.chromium import FLAGS, camera_flags, find_chromium
from tests.browser.live_page import LivePage, Way
from tests.browser.scene import FILM, FILM_FPS, FILM_SKIP
from tests.frontend.fake_backend import free_port

WAYS: tuple[Way, ...] = ("Direct", "WebRTC")
WARM_S = 6.0
PROBE = Path(__file__).with_name("live_probe.js")


@dataclass(frozen=True, slots=True)
class Row:
    """One way's figures; times in ms."""

    way: str
    video_fps: float
    unique_fps: float
    video_late_p50: float
    video_late_p95: float
    boxes_late_p50: float
    boxes_late_p95: float
    boxes_per_s: float


def main() -> None:
    """Read the command line, measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time of each way")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/out"))
    parser.add_argument("--way", choices=WAYS, help="one way alone")
    asked = parser.parse_args()
    film = asked.data / FILM
    images = film_frames(film, FILM_FPS, FILM_SKIP) if film.is_file() else rendered_frames()
    engine_ms, engine = plain_engine(images)
    rows = measure([asked.way] if asked.way else WAYS, images, asked.seconds)
    clip = film.name if film.is_file() else "a rendered clip"
    text = table(rows, engine_ms, engine, clip)
    print(text)
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "live.md").write_text(text)
    report = {
        "engine": engine,
        "engine_ms": engine_ms,
        "clip": clip,
        "cores": os.cpu_count(),
        "rows": [asdict(row) for row in rows],
    }
    (asked.output / "live.json").write_text(json.dumps(report, indent=1))


def plain_engine(images: Sequence[Image]) -> tuple[float, str]:
    """Return the engine's own time for a picture, decoding included, and its name."""
    with Detector.load() as detector:
        width, height = detector.engine.spec.input_size_wh
        scale = min(width / images[0].shape[1], height / images[0].shape[0])
        jpegs = [encode_jpeg(_scaled(image, scale), 80) for image in images[:60]]
        times: list[float] = []
        for jpeg in jpegs * 2:
            start_s = time.perf_counter()
            detector(decode_picture(jpeg, PictureLimits()))
            times.append((time.perf_counter() - start_s) * 1e3)
        served = detector.engine.served
    return statistics.median(times[len(jpegs) :]), f"{served.name} on {served.engine}"


def measure(ways: Sequence[Way], images: Sequence[Image], seconds: float) -> list[Row]:
    """Run pages, server and browser, and measure each way."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("No Chromium is installed; on Debian: apt-get install chromium")
    port, backend_port = free_port(), free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        camera = folder / "camera.y4m"
        write_camera(camera, list(images))
        for program in (
            processes.backend(backend_port, folder / "backend.log"),
            processes.pages(port, backend_port, folder / "pages.log"),
        ):
            stack.callback(program.stop)
            program.start()
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=chromium, args=[*FLAGS, *camera_flags(camera)]
        )
        stack.callback(browser.close)
        return [_measure_way(browser, f"http://localhost:{port}", way, seconds) for way in ways]


def _measure_way(browser: Browser, address: str, way: Way, seconds: float) -> Row:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera"])
    context.add_init_script(PROBE.read_text())
    live = LivePage(context.new_page(), address, way)
    live.start()
    live.until(live.detects, 30, "the first box")
    live.page.wait_for_timeout(WARM_S * 1e3)
    frame = live.video_frame()
    if frame is None:
        raise SystemExit("The video went away; run it again.")
    frame.evaluate("liveProbe.follow(document.querySelector('video'))")
    boxes: list[tuple[float, float, float]] = []
    start_s = time.monotonic()
    while time.monotonic() - start_s < seconds:
        live.page.wait_for_timeout(1000)
        boxes.append(_box_figures(live))
    took_s = time.monotonic() - start_s
    seen = frame.evaluate("liveProbe")
    context.close()
    late = [float(value) for value in seen["late"]]
    added = late if way == "WebRTC" else [0.0]
    p50, p95, rate = (statistics.median(column) for column in zip(*boxes, strict=True))
    return Row(
        way=way,
        video_fps=len(seen["shown"]) / took_s,
        unique_fps=seen["unique"] / took_s,
        video_late_p50=statistics.median(late),
        video_late_p95=float(np.quantile(late, 0.95)),
        boxes_late_p50=p50 + statistics.median(added),
        boxes_late_p95=p95 + statistics.median(added),
        boxes_per_s=rate,
    )


def _box_figures(live: LivePage) -> tuple[float, float, float]:
    """Return the strip's median, 95th percentile and rate of boxes."""
    detail = live.strip.locator('[data-figure="p50"] .detail').inner_text()
    p95 = next(float(word) for word in reversed(detail.split()) if word.isdigit())
    return live.figure("p50") or 0.0, p95, live.figure("detection-fps") or 0.0


def table(rows: Sequence[Row], engine_ms: float, engine: str, clip: str) -> str:
    """Return the figures as Markdown."""
    lines = [
        "# Live, from camera to drawn box",
        "",
        f"{clip}, 640x360 at 30 fps, headless Chromium, {platform.machine()}, "
        f"{os.cpu_count()} cores. Plain engine ({engine}, decoding included, alone): "
        f"{engine_ms:.0f} ms.",
        "",
        "| way | video fps | unique | video late, ms | p95 | boxes late, ms | p95 | boxes/s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {r.way} | {r.video_fps:.0f} | {r.unique_fps:.0f} | {r.video_late_p50:.0f} | "
        f"{r.video_late_p95:.0f} | {r.boxes_late_p50:.0f} | {r.boxes_late_p95:.0f} | "
        f"{r.boxes_per_s:.0f} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n"


def _scaled(image: Image, scale: float) -> Image:
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)


if __name__ == "__main__":
    main()
