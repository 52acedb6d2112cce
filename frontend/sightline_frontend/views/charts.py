"""The Monitor page's charts, as Vega-Lite says them.

A chart's specification never changes while it is shown, only its data does: so the browser
redraws it in place, without a flicker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st

# Apart for colour-blind eyes, and readable on white and on black.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#2f7fc1", "#d9760f", "#12997a", "#b8558f", "#7d8a88"
HEIGHT = 190


@dataclass(frozen=True, slots=True)
class Chart:
    """What one chart shows: a title with its unit, and a colour for each series' words."""

    title: str
    colours: Mapping[str, str]
    kind: Literal["line", "stack"] = "line"
    limit: str | None = None  # the series that is drawn as a dashed line
    least_top: float = 1.0  # of the axis, so that nothing but zeros is a flat line at the bottom
    scale: Literal["linear", "sqrt"] = "linear"


def draw(
    chart: Chart, times: Sequence[float], series: Mapping[str, Sequence[float | None]]
) -> None:
    """Draw a chart; `times` are Unix seconds, each of `series` is as long."""
    shown = [one for name, values in series.items() if name != chart.limit for one in values]
    # Nothing but zeros is a line at the bottom, but no area.
    empty = not any(shown) if chart.kind == "stack" else all(one is None for one in shown)
    st.html(_heading(chart, empty=empty))
    data = {"time": [at * 1e3 for at in times], **series}
    st.vega_lite_chart(data, specification(chart), alt=chart.title, width="stretch")


def _heading(chart: Chart, *, empty: bool) -> str:
    """Return title and legend as HTML: it wraps on a phone and takes no room from the chart.

    An `empty` chart says so here, where it moves nothing.
    """
    entries = "".join(
        f'<span style="white-space:nowrap">{_swatch(chart, name, colour)} {name}</span> '
        for name, colour in chart.colours.items()
    )
    nothing = _NOTHING if empty else ""
    return f'<div style="font-weight:600">{chart.title}{nothing}</div>{LEGEND.format(entries)}'


def _swatch(chart: Chart, name: str, colour: str) -> str:
    line = f"border-top:3px {'dashed' if name == chart.limit else 'solid'} {colour}"
    shape = line if chart.kind == "line" else f"height:0.7em;border-radius:2px;background:{colour}"
    return f'<i style="display:inline-block;width:1em;vertical-align:middle;{shape}"></i>'


def specification(chart: Chart) -> dict[str, Any]:
    """Return the chart in Vega-Lite; its data has `time` in ms and a column for each series."""
    names, stack = list(chart.colours), chart.kind == "stack"
    encoding: dict[str, Any] = {
        "x": {"field": "time", "type": "temporal", "title": None, "axis": _TIME_AXIS},
        "y": {
            "field": "value",
            "type": "quantitative",
            "title": None,
            "axis": {"tickCount": 5},
            "stack": "zero" if stack else None,
            "scale": {"type": chart.scale, "domain": {"unionWith": [0, chart.least_top]}},
        },
        "color": {
            "field": "what",
            "type": "nominal",
            "legend": None,
            "scale": {"domain": names, "range": list(chart.colours.values())},
        },
        "tooltip": _TOOLTIP,
    }
    if stack:
        encoding["order"] = {"field": "order", "type": "quantitative"}
    if chart.limit is not None:
        encoding["strokeDash"] = {
            "condition": {"test": f"datum.what === '{chart.limit}'", "value": [5, 4]},
            "value": [1, 0],
        }
    return {
        "height": HEIGHT,
        "transform": [
            {"fold": names, "as": ["what", "value"]},
            {"calculate": f"indexof({json.dumps(names)}, datum.what)", "as": "order"},
        ],
        "mark": _AREA if stack else _LINE,
        "encoding": encoding,
    }


_NOTHING = '<span style="font-weight:400;opacity:0.8"> · nothing in this time</span>'
_AREA = {"type": "area", "opacity": 0.85, "line": False}
_LINE = {"type": "line", "strokeWidth": 2}
_TOOLTIP = [
    {"field": "time", "type": "temporal", "title": "at", "format": "%H:%M:%S"},
    {"field": "what", "type": "nominal", "title": "what"},
    {"field": "value", "type": "quantitative", "title": "value", "format": ".3~g"},
]
_TIME_AXIS = {"format": "%H:%M:%S", "tickCount": 4, "labelOverlap": True, "grid": False}
LEGEND = (
    '<div style="display:flex;flex-wrap:wrap;gap:0 1rem;font-size:0.875rem;opacity:0.8">{}</div>'
)
