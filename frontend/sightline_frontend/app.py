"""Sightline's pages: `streamlit run app.py`. Navigation only."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st
from pydantic import ValidationError

from sightline_frontend.backend import Backend
from sightline_frontend.settings import Settings, explained
from sightline_frontend.views import live, monitor, start, upload

_ICON = Path(__file__).parent / "icon.png"
_STYLE = "<style>.stMainBlockContainer { padding-top: 4.5rem; padding-bottom: 3rem; }</style>"


@st.cache_resource
def _backend(url: str, timeout_s: float) -> Backend:
    return Backend(url, timeout_s)


def main() -> None:
    """Build the settings once and show the page that was asked for."""
    try:
        settings = Settings()
    except ValidationError as error:
        st.error(explained(error), icon=":material/settings:")
        return
    backend = _backend(settings.backend_url, settings.request_timeout_s)
    st.set_page_config(page_title="Sightline", page_icon=str(_ICON), layout="wide")
    st.logo(str(_ICON), size="large")
    st.html(_STYLE)
    live_page = st.Page(
        partial(live.show, settings, backend),
        title="Live",
        url_path="live",
        icon=":material/videocam:",
    )
    upload_page = st.Page(
        partial(upload.show, backend), title="Upload", url_path="upload", icon=":material/upload:"
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
    st.navigation([start_page, live_page, upload_page, monitor_page], position="top").run()


main()
