"""The monitor page: whether the detector is well, at a glance and over the last minutes."""

from __future__ import annotations

from typing import Literal, TypeAlias

import streamlit as st

from sightline_frontend.backend import Backend
from sightline_frontend.figures import Figures
from sightline_frontend.settings import Settings
from sightline_frontend.views.status import wait_for_backend
from sightline_frontend.views.tiles import milliseconds, show_tiles
from sightline_frontend.views.trends import show_trends

EVERY_S = 2.0
_SPANS = {"1 min": 1.0, "5 min": 5.0, "15 min": 15.0}

_WORDS = {
    "healthy": ("Healthy", ":material/check_circle:"),
    "idle": ("Idle", ":material/check_circle:"),
    "not_ready": ("Not ready", ":material/power_off:"),
    "starved": ("Starved", ":material/hourglass_empty:"),
    "failing": ("Failing", ":material/error:"),
    "late": ("Late", ":material/schedule:"),
    "dropping": ("Dropping", ":material/filter_alt:"),
    "refusing": ("Full", ":material/block:"),
    "bad_frames": ("Bad frames", ":material/broken_image:"),
    "queue": ("Backlog", ":material/hourglass_top:"),
    "restarts": ("Restarted", ":material/restart_alt:"),
    "fallback": ("Fallback", ":material/info:"),
    "gpu_hot": ("GPU hot", ":material/device_thermostat:"),
    "gpu_full": ("GPU full", ":material/speed:"),
    "gpu_memory": ("GPU memory", ":material/memory:"),
    "batches_of_one": ("Batches of one", ":material/filter_1:"),
    "loop_lag": ("Server slow", ":material/hourglass_top:"),
    "memory": ("Memory low", ":material/memory:"),
    "memory_limit": ("Memory low", ":material/memory:"),
    "disk": ("Disk full", ":material/hard_drive:"),
    "open_files": ("Files", ":material/folder_open:"),
}
Colour: TypeAlias = Literal["red", "orange", "blue", "green", "gray"]
_COLOURS: dict[str, Colour] = {"page": "red", "ticket": "orange", "note": "blue"}


def show(settings: Settings, backend: Backend) -> None:
    """Show the page."""
    st.title("Monitor")
    if backend.health() is None:
        wait_for_backend(backend)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        span = st.segmented_control(
            "Shown", list(_SPANS), default="5 min", required=True, label_visibility="collapsed"
        )
        if settings.grafana_url is not None:
            st.link_button(
                "Open Grafana",
                f"{settings.grafana_url}/d/sightline-live",
                icon=":material/open_in_new:",
            )
    _watch(backend, _SPANS[span or "5 min"])
    st.caption(
        "The last 15 minutes are kept in the detector's memory and are gone when it stops. "
        "Prometheus and Grafana, which `docker compose up` starts beside it, keep more: "
        "see docs/operations.md."
    )


@st.fragment(run_every=EVERY_S)
def _watch(backend: Backend, minutes: float) -> None:
    """Show the figures, again and again."""
    seen = backend.figures(minutes)
    if seen is None:
        if backend.health() is None:
            st.rerun()  # the page waits for the detector
        st.warning(
            f"The detector at {backend.url} gives no figures at the moment: it is too busy, or "
            "older than these pages.",
            icon=":material/cloud_off:",
        )
        return
    _status(seen)
    show_tiles(seen)
    st.space("small")
    show_trends(seen, minutes)


def _status(seen: Figures) -> None:
    """Say how it is in a word and a sentence; what else is wrong follows."""
    with st.container(border=True, gap="small", key="monitor-status"):
        if not seen.trouble:
            well = "idle" if seen.status == "idle" else "healthy"
            _say(well, "gray" if well == "idle" else "green", _all_well(seen))
        for trouble in seen.trouble:
            _say(trouble.code, _COLOURS.get(trouble.severity, "orange"), trouble.message)


def _say(code: str, colour: Colour, sentence: str) -> None:
    """Write a line; the sentence is no Markdown, for a model's path or an error may be in it."""
    word, icon = _WORDS.get(code, (_as_words(code), ":material/warning:"))
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.badge(word, icon=icon, color=colour)
        st.text(sentence)


def _as_words(code: str) -> str:
    """Return what a newer detector calls it."""
    return code.replace("_", " ").capitalize()


def _all_well(seen: Figures) -> str:
    now = seen.now
    streams, fps = now.get("streams") or 0, now.get("answered_fps") or 0
    if seen.status == "idle":
        return "The engine is ready; no stream is open."
    text = f"{fps:.3g} frames a second answered, {streams:.0f} " + (
        "stream open" if streams == 1 else "streams open"
    )
    age_s, deadline_s = now.get("age_p95_s"), now.get("deadline_s")
    if age_s is not None and deadline_s is not None:
        text += f"; 95 % of the answers are younger than {milliseconds(age_s)}, the deadline is "
        text += milliseconds(deadline_s)
    return text + "."
