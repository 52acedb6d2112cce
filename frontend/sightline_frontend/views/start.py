"""The start page: what this is, and the way to Live."""

from __future__ import annotations

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from sightline_frontend.backend import Backend
from sightline_frontend.views.status import show_fallback, wait_for_backend


def show(backend: Backend, live: StreamlitPage, upload: StreamlitPage) -> None:
    """Show the page; `live` and `upload` are where its buttons lead."""
    st.title("See what your camera sees")
    st.markdown(
        "Sightline finds people and faces in live video, or what your own model knows, on your "
        "own machine.  \n"
        "Boxes sit on the moving picture; nothing is stored and nothing leaves your server."
    )
    with st.container(horizontal=True):
        if st.button("Go live", type="primary", icon=":material/videocam:"):
            st.switch_page(live)
        if st.button("Upload a picture or clip", icon=":material/upload:"):
            st.switch_page(upload)
    st.space("small")
    health = backend.health()
    if health is None:
        wait_for_backend(backend)
        return
    with st.container(border=True):
        word, colour = ("Ready", "green") if health.ready else ("Stopping", "orange")
        st.markdown(f":{colour}-badge[:material/check_circle: {word}] Detector at {backend.url}")
        with st.container(horizontal=True, gap="medium"):
            _fact("Model", health.model)
            _fact("Engine", health.engine)
            _fact("Device", health.device)
            _fact("Precision", health.precision)
    show_fallback(health)


def _fact(name: str, value: str) -> None:
    with st.container(width="content", gap=None):
        st.caption(name)
        st.markdown(f"**{value}**")
