"""Sightline's pages: `streamlit run app.py`. Navigation only."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st
from pydantic import ValidationError
from streamlit.navigation.page import StreamlitPage

from sightline_frontend.backend import Backend
from sightline_frontend.job_feed import JobFeed
from sightline_frontend.settings import Settings, explained
from sightline_frontend.views import benchmark, deploy, live, models, monitor, start, upload

_ICON = Path(__file__).parent / "icon.png"
_STYLE = """<style>
.stMainBlockContainer { padding-top: 4.5rem; padding-bottom: 3rem; }
/* The colour that white is readable on, on buttons, is too dim for words on a dark ground. */
.stButtonGroup [data-variant][data-selected="true"] { color: inherit; }
</style>"""


@st.cache_resource
def _backend(url: str, timeout_s: float, admin_token: str | None) -> Backend:
    return Backend(url, timeout_s, admin_token)


@st.cache_resource
def _feed(_backend: Backend, url: str) -> JobFeed:
    return JobFeed(_backend).start()  # one thread for all visitors of this detector


def main() -> None:
    """Build the settings once and show the page that was asked for."""
    try:
        settings = Settings()
    except ValidationError as error:
        st.error(explained(error), icon=":material/settings:")
        return
    token = settings.admin_token.get_secret_value() if settings.admin_token else None
    backend = _backend(settings.backend_url, settings.request_timeout_s, token)
    feed = _feed(backend, settings.backend_url)
    st.set_page_config(page_title="Sightline", page_icon=str(_ICON), layout="wide")
    st.logo(str(_ICON), size="large")
    st.html(_STYLE)
    st.navigation(_pages(settings, backend, feed), position="top").run()


def _pages(settings: Settings, backend: Backend, feed: JobFeed) -> list[StreamlitPage]:
    """Return the pages in the order of the navigation."""
    live_page = st.Page(
        partial(live.show, settings, backend),
        title="Live",
        url_path="live",
        icon=":material/videocam:",
    )
    upload_page = st.Page(
        partial(upload.show, backend), title="Upload", url_path="upload", icon=":material/upload:"
    )
    models_page = st.Page(
        partial(models.show, backend, feed),
        title="Models",
        url_path="models",
        icon=":material/deployed_code:",
    )
    benchmark_page = st.Page(
        partial(benchmark.show, backend, feed),
        title="Benchmark",
        url_path="benchmark",
        icon=":material/speed:",
    )
    deploy_page = st.Page(
        partial(deploy.show, backend),
        title="Deploy",
        url_path="deploy",
        icon=":material/rocket_launch:",
    )
    monitor_page = st.Page(
        partial(monitor.show, settings, backend),
        title="Monitor",
        url_path="monitor",
        icon=":material/monitoring:",
    )
    start_page = st.Page(
        partial(start.show, backend, live_page, upload_page),
        title="Start",
        url_path="start",
        icon=":material/home:",
        default=True,
    )
    work = [models_page, benchmark_page, deploy_page, monitor_page]
    return [start_page, live_page, upload_page, *work]


main()
