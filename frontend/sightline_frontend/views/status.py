"""The detector's state, as a line on a page."""

from __future__ import annotations

import streamlit as st

from sightline_frontend.backend import Backend, Health
from sightline_frontend.jargon import plainly

RETRY_S = 2.0


def engine_words(health: Health) -> str:
    """Return what serves, in one line."""
    return f"{health.model} on {health.engine}, {health.device}, {health.precision}"


def wait_for_backend(backend: Backend) -> None:
    """Say that the detector is missing, and run the page again when it answers."""
    st.warning(
        f"The detector at {backend.url} doesn't answer. Start it with `sightline serve`; "
        "this page goes on by itself as soon as it is there.",
        icon=":material/cloud_off:",
    )

    @st.fragment(run_every=RETRY_S)
    def look() -> None:
        if backend.health() is not None:
            st.rerun()

    look()


def show_fallback(health: Health) -> None:
    """Say so if a slower engine runs than might."""
    if health.fallback:
        st.info(f"A fallback is in use: {plainly(health.fallback)}", icon=":material/info:")
