"""The live page: one camera, two ways of transport."""

from __future__ import annotations

import streamlit as st

from sightline_frontend.backend import Backend
from sightline_frontend.component import show_direct
from sightline_frontend.controls import choose
from sightline_frontend.settings import Settings
from sightline_frontend.views.status import wait_for_backend
from sightline_frontend.views.webrtc import show_webrtc

_WAYS = {
    "Direct": "Fastest: the browser sends pictures straight to the detector and draws the boxes "
    "itself.",
    "WebRTC": "The video travels to this server and comes back with boxes, as other WebRTC "
    "peers would see it.",
}


def show(settings: Settings, backend: Backend) -> None:
    """Show the page."""
    st.title("Live")
    health, models = backend.health(), backend.models()
    picture, controls = st.columns([3, 1], gap="medium")
    with controls:
        way = st.segmented_control("Transport", list(_WAYS), default="Direct", required=True)
        st.caption(_WAYS[way or "Direct"])
        choice = choose(models, "live")
    with picture:
        with st.container():  # always there: what comes and goes in it moves no video
            if health is None:
                wait_for_backend(backend)
        if way == "WebRTC":
            show_webrtc(settings, choice)
        else:
            show_direct(settings, choice)
