"""A real Chromium, the real pages and the real server, shared by this folder's tests.

All are of package scope: Playwright's loop must be gone before other folders' tests run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from tests.browser import processes
from tests.browser.camera_clip import write_camera
from tests.browser.chromium import FLAGS, NAMES, camera_flags, find_chromium
from tests.browser.processes import Program
from tests.browser.scene import Scene, film_scene, rendered_scene
from tests.conftest import ROOT, missing
from tests.frontend.fake_backend import free_port

if TYPE_CHECKING:
    from tests.browser.triton_site import TritonSite
    from tests.triton.environment import TritonEnvironment

Launch = Callable[..., Browser]


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """Pages and their server."""

    address: str
    pages: Program
    backend: Program


@pytest.fixture(scope="package")
def chromium() -> str:
    """Return the browser's program."""
    path = find_chromium()
    if path is None:
        missing(f"no browser is installed; any of {', '.join(NAMES)} would do")
        raise AssertionError
    return path


@pytest.fixture(scope="package")
def playwright(chromium: str) -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="package")
def scene() -> Scene:
    """Return the real film where the test material is, else a rendered clip."""
    named = os.environ.get("SIGHTLINE_TEST_DATA")  # noqa: TID251
    data = Path(named) if named else ROOT.parent / "shared" / "data"
    return film_scene(data) if data.is_dir() else rendered_scene()


@pytest.fixture(scope="package")
def camera(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    write_camera(path, list(scene.images))
    return path


@pytest.fixture(scope="package")
def launch(chromium: str, playwright: Playwright) -> Iterator[Launch]:
    """Return a function that starts a Chromium with further flags."""
    browsers: list[Browser] = []

    def start(*flags: str) -> Browser:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *flags])
        browsers.append(browser)
        return browser

    yield start
    for browser in browsers:
        browser.close()


@pytest.fixture(scope="package")
def browser(launch: Launch, camera: Path) -> Browser:
    """Return a Chromium with the clip as its camera, allowed to every page."""
    return launch(*camera_flags(camera))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, permissions=["camera"], accept_downloads=True
    )
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Return a page; an error in its scripts fails the test."""
    errors: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []


@pytest.fixture(scope="package")
def site(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run pages and server as a user does; for a rendered clip, a server that sees it."""
    yield from _site(scene, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="package")
def slow_site(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run pages and a server whose detector takes half a second."""
    yield from _site(scene, tmp_path_factory.mktemp("slow"), "--delay-ms", "500")


@pytest.fixture(scope="package")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run pages and the real server, which asks for a password before anything is changed."""
    folder = tmp_path_factory.mktemp("workshop")
    port, backend_port = free_port(), free_port()
    token = {"admin_token": "open-sesame"}
    models = {"models_dir": str(folder / "models")}
    backend = processes.backend(backend_port, folder / "backend.log", **models, **token)
    pages = processes.pages(port, backend_port, folder / "pages.log", **token)
    try:
        backend.start()
        pages.start()
        yield Site(f"http://localhost:{port}", pages, backend)
    finally:
        pages.stop()
        backend.stop()


@pytest.fixture(scope="package")
def triton_site(
    triton_environment: TritonEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonSite]:
    """Run pages, the real server with a password, and a real Triton that has no model yet."""
    from tests.browser.triton_site import run_triton_site

    yield from run_triton_site(tmp_path_factory.mktemp("triton"), triton_environment)


def _site(scene: Scene, folder: Path, *options: str) -> Iterator[Site]:
    port, backend_port = free_port(), free_port()
    log = folder / "backend.log"
    if scene.rendered:
        backend = processes.odd_backend(backend_port, log, "--yellow", *options)
    elif options:
        backend = processes.odd_backend(backend_port, log, *options)
    else:
        backend = processes.backend(backend_port, log, models_dir=str(folder / "models"))
    pages = processes.pages(port, backend_port, folder / "pages.log")
    try:
        backend.start()
        pages.start()
        yield Site(f"http://localhost:{port}", pages, backend)
    finally:
        pages.stop()
        backend.stop()
