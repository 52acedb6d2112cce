"""Each page's script, run by Streamlit's own test runner."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import sightline_frontend
from tests.frontend.fake_backend import free_port

APP = Path(sightline_frontend.__file__).parent / "app.py"


def live_script() -> None:
    from sightline_frontend.backend import Backend
    from sightline_frontend.settings import Settings
    from sightline_frontend.views import live

    settings = Settings()
    live.show(settings, Backend(settings.backend_url, 10))


def upload_script() -> None:
    from sightline_frontend.backend import Backend
    from sightline_frontend.settings import Settings
    from sightline_frontend.views import upload

    upload.show(Backend(Settings().backend_url, 10))


PAGES = [
    pytest.param(lambda: AppTest.from_file(str(APP), default_timeout=30), id="start"),
    pytest.param(lambda: AppTest.from_function(live_script, default_timeout=30), id="live"),
    pytest.param(lambda: AppTest.from_function(upload_script, default_timeout=30), id="upload"),
]


@pytest.mark.parametrize("make", PAGES)
def test_each_page_runs_with_a_server(
    make: object, backend_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(make)
    monkeypatch.setenv("SIGHTLINE_BACKEND_URL", backend_url)
    app: AppTest = make().run()
    assert not app.exception
    assert not app.warning
    assert app.title


@pytest.mark.parametrize("make", PAGES)
def test_each_page_says_when_the_server_is_missing(
    make: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(make)
    monkeypatch.setenv("SIGHTLINE_BACKEND_URL", f"http://127.0.0.1:{free_port()}")
    app: AppTest = make().run()
    assert not app.exception
    assert "doesn't answer" in app.warning[0].value


def test_both_ways_can_be_chosen_and_the_controls_stay(
    backend_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_BACKEND_URL", backend_url)
    app = AppTest.from_function(live_script, default_timeout=30).run()
    assert app.selectbox[0].options == ["yellow"]
    assert app.multiselect[0].options == ["person"]
    app.slider[0].set_value(0.6).run()
    app.segmented_control[0].set_value("WebRTC").run()
    assert not app.exception
    assert app.slider[0].value == 0.6


def test_settings_that_can_not_be_meant_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_BACKEND_URL", "nowhere")
    app = AppTest.from_file(str(APP), default_timeout=30).run()
    assert not app.exception
    assert "SIGHTLINE_BACKEND_URL" in app.error[0].value
