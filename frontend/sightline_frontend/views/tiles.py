"""The monitor page's first row: the four figures everyone looks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import streamlit as st

from sightline_frontend.figures import Figures

NOTHING = "\N{EN DASH}"  # where there is no figure
Colour: TypeAlias = Literal["red", "orange", "blue", "green"]
_COLOURS: dict[str, Colour] = {"page": "red", "ticket": "orange", "note": "blue"}
_TWO_BY_TWO = """<style>
@media (max-width: 640px) {
  .st-key-monitor-tiles .stColumn { flex: 1 1 calc(50% - 1rem); min-width: calc(50% - 1rem); }
  .st-key-monitor-tiles [data-testid="stMetricValue"] { font-size: 1.5rem; }
}
</style>"""


def show_tiles(seen: Figures) -> None:
    """Show the four figures everyone looks for, each in the colour of what is wrong with it."""
    now = seen.now
    streams = now.get("streams") or 0
    st.html(_TWO_BY_TWO)
    with st.container(key="monitor-tiles"):
        frames, age, inference, use = st.columns(4)
    with frames:
        _tile(
            "Frames answered",
            _number(now.get("answered_fps"), "fps"),
            f"{streams:.0f} {'stream' if streams == 1 else 'streams'}",
            seen.series.get("answered_fps", ()),
            _colour(seen, "not_ready", "starved", "failing", "refusing", "dropping"),
        )
    with age:
        _tile(
            "Age of an answer, p95",
            milliseconds(now.get("age_p95_s")),
            f"deadline {milliseconds(now.get('deadline_s'))}",
            seen.series.get("age_p95_s", ()),
            _colour(seen, "late", "queue"),
        )
    with inference:
        _tile(
            "Inference, mean",
            milliseconds(now.get("infer_s")),
            f"p95 {milliseconds(now.get('infer_p95_s'))}",
            seen.series.get("infer_s", ()),
            _colour(seen, "restarts", "fallback"),
        )
    with use:
        if seen.known("gpu_share"):
            _tile(
                "GPU in use",
                _percent(now.get("gpu_share")),
                _gpu_memory(seen),
                seen.series["gpu_share"],
                _colour(seen, "gpu_hot", "gpu_full", "gpu_memory"),
            )
        else:
            _tile(
                "Engine busy",
                _percent(now.get("busy_share")),
                f"sustains {_number(now.get('capacity_fps'), 'fps')}",
                seen.series.get("busy_share", ()),
                _colour(seen, "batches_of_one"),
            )


def _colour(seen: Figures, *codes: str) -> Colour:
    """Return the colour of the worst of these troubles, green without any."""
    severities = [one.severity for one in seen.trouble if one.code in codes]
    return _COLOURS.get(severities[0], "orange") if severities else "green"


def _tile(name: str, value: str, detail: str, past: Sequence[float | None], colour: Colour) -> None:
    known = [one for one in past if one is not None]
    st.metric(
        name,
        value,
        detail,
        delta_color=colour,
        delta_arrow="off",
        border=True,
        height="stretch",
        chart_data=known if len(known) > 1 else None,
        chart_type="area",
    )


def _gpu_memory(seen: Figures) -> str:
    used, total = seen.now.get("gpu_memory_bytes"), seen.now.get("gpu_memory_total_bytes")
    if used is None or total is None:
        return "memory unknown"
    return f"{used / 2**30:.1f} of {total / 2**30:.0f} GiB in use"


def milliseconds(seconds: float | None) -> str:
    """Return a time for people."""
    if seconds is None:
        return NOTHING
    return f"{seconds * 1e3:.1f} ms" if seconds < 0.0995 else f"{seconds * 1e3:.0f} ms"


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return NOTHING
    return f"{value:.1f} {unit}" if value < 99.5 else f"{value:.0f} {unit}"


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.0%}"
