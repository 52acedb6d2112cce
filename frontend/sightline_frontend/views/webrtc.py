"""The WebRTC way: streamlit-webrtc shows the picture, a watchdog starts it again."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st
from streamlit_webrtc import WebRtcMode, WebRtcStreamerContext, webrtc_streamer

from sightline_frontend.component import show_camera_choice, show_strip
from sightline_frontend.connection_watch import ConnectionWatch
from sightline_frontend.controls import Choice
from sightline_frontend.jargon import plainly
from sightline_frontend.settings import Settings
from sightline_frontend.stream import WebRtcStream
from sightline_frontend.views.said import plain

LOOK_EVERY_S = 0.8

_UNREACHABLE = (
    "**The video connection can't be made.** The network between this browser and the server "
    "lets no WebRTC through. Name a TURN server in `SIGHTLINE_ICE_SERVERS` "
    '(`[{"urls": "turn:turn.example.org:3478", "username": "…", "credential": "…"}]`), '
    "or use the Direct way, which needs none. Still trying."
)


class Viewer:
    """What one visitor's WebRTC view keeps between runs of the page."""

    def __init__(self, settings: Settings) -> None:
        self.stream = WebRtcStream(settings.stream_url, settings.jpeg_quality)
        self.watch: ConnectionWatch | None = None  # while the visitor wants to see pictures
        self.run = 0  # counts connections: each has a component of its own
        self.dark_tries = 0  # of them, those that brought no picture: is it the camera?

    def want(self, playing: bool) -> None:
        """Note the visitor's wish."""
        if playing and self.watch is None:
            self.watch = ConnectionWatch(time.monotonic())
        elif not playing:
            self.watch = None


def show_webrtc(settings: Settings, choice: Choice) -> None:
    """Show start button, picture and figures."""
    viewer: Viewer = st.session_state.setdefault("webrtc-viewer", Viewer(settings))
    viewer.stream.configure(choice)
    wish = show_camera_choice(probe=viewer.dark_tries)
    viewer.want(wish.playing)

    if not wish.playing:
        return
    context = webrtc_streamer(
        key=f"webrtc-{viewer.run}-{wish.camera}",
        mode=WebRtcMode.SENDRECV,
        desired_playing_state=True,
        rtc_configuration={"iceServers": [_ice(s) for s in settings.ice_servers]},
        media_stream_constraints={
            "video": {
                "width": {"ideal": 640},
                "height": {"ideal": 480},
                "frameRate": {"ideal": 30},
            },
            "audio": False,
        },
        video_frame_callback=viewer.stream.frame,
        async_processing=True,
        media_toggle_controls=False,
        video_html_attrs={
            "autoPlay": True,
            "muted": True,
            "controls": False,
            "style": {"width": "100%", "borderRadius": "12px", "background": "#0b1210"},
        },
    )
    _watch(viewer, context)


@st.fragment(run_every=LOOK_EVERY_S)
def _watch(viewer: Viewer, context: WebRtcStreamerContext[Any, Any]) -> None:
    """Show how it goes, and start a lost connection again."""
    if viewer.watch is None:
        return
    now_s = time.monotonic()
    verdict = viewer.watch.look(now_s, context.state.playing, viewer.stream.last_frame_s)

    if verdict == "restart":
        viewer.run += 1
        viewer.dark_tries += viewer.watch.failures > 0
        st.rerun()
    if viewer.watch.unreachable:
        st.error(_UNREACHABLE, icon=":material/wifi_off:")
    elif verdict == "connecting" and viewer.watch.restarts:
        st.warning("The video connection was lost; it is being started again.")
    if verdict == "live" and viewer.stream.client.problem:
        st.warning(
            f"{viewer.stream.client.problem} The picture keeps running, and boxes come back by "
            "themselves.",
            icon=":material/cloud_off:",
        )
    snapshot = viewer.stream.stats.snapshot(now_s)
    if fallback := (snapshot["model"] or {}).get("fallback"):
        st.info(f"A fallback answers: {plain(plainly(fallback))}", icon=":material/info:")
    show_strip(snapshot, "Arrival to box")


def _ice(server: Any) -> dict[str, Any]:
    return {k: v for k, v in server.model_dump().items() if v is not None}
