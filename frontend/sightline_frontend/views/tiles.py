"""The monitor page's first row: the four figures everyone looks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure: its name, its number in words, a detail, and what colours it."""

    name: str
    value: str
    detail: str
    figure: str  # whose past is drawn
    codes: Sequence[str]  # of the trouble with it


def show_tiles(seen: Figures) -> None:
    """Show the four figures everyone looks for, each in the colour of what is wrong with it."""
    st.html(_TWO_BY_TWO)
    with st.container(key="monitor-tiles"):
        for column, tile in zip(st.columns(4), _tiles(seen), strict=True):
            with column:
                _draw(tile, seen)


def _tiles(seen: Figures) -> tuple[Tile, Tile, Tile, Tile]:
    now = seen.now
    streams = now.get("streams") or 0
    return (
        Tile(
            "Frames answered",
            _number(now.get("answered_fps"), "fps"),
            f"{streams:.0f} {'stream' if streams == 1 else 'streams'}",
            "answered_fps",
            ("not_ready", "starved", "failing", "refusing", "bad_frames", "dropping"),
        ),
        Tile(
            "Age of an answer, p95",
            milliseconds(now.get("age_p95_s")),
            f"deadline {milliseconds(now.get('deadline_s'))}",
            "age_p95_s",
            ("late", "queue"),
        ),
        Tile(
            "Inference, mean",
            milliseconds(now.get("infer_s")),
            f"p95 {milliseconds(now.get('infer_p95_s'))}",
            "infer_s",
            ("restarts", "fallback"),
        ),
        _gpu(seen) if seen.known("gpu_share") else _engine(seen),
    )


def _gpu(seen: Figures) -> Tile:
    codes = ("gpu_hot", "gpu_full", "gpu_memory")
    share = _percent(seen.now.get("gpu_share"))
    return Tile("GPU in use", share, _gpu_memory(seen), "gpu_share", codes)


def _engine(seen: Figures) -> Tile:
    share = _percent(seen.now.get("busy_share"))
    sustains = f"at best {_number(seen.now.get('capacity_fps'), 'fps')}"
    return Tile("Engine busy", share, sustains, "busy_share", ("batches_of_one",))


def _draw(tile: Tile, seen: Figures) -> None:
    # Not a number: a gap in the line, as wide as the time without figures.
    past = [math.nan if one is None else one for one in seen.over_time(tile.figure)]
    st.metric(
        tile.name,
        tile.value,
        tile.detail,
        delta_color=_colour(seen, *tile.codes),
        delta_arrow="off",
        border=True,
        height="stretch",
        chart_data=past if seen.known(tile.figure) else None,
        chart_type="area",
    )


def _colour(seen: Figures, *codes: str) -> Colour:
    """Return the colour of the worst of these troubles, green without any."""
    severities = [one.severity for one in seen.trouble if one.code in codes]
    return _COLOURS.get(severities[0], "orange") if severities else "green"


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
