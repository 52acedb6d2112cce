"""The Benchmark page's plots as Vega-Lite says them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st

from sightline_frontend.measured import Part, Percentile, Result, Run
from sightline_frontend.pareto import front
from sightline_frontend.views.charts import BLUE, GREEN, GREY, HEIGHT, LEGEND, ORANGE, PURPLE

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#3aa6b9", "#7a6fd0", "#8a5a44", "#c48fb0")
_BEFORE_AFTER = (GREY, "#a08a1c")  # these and the next are of none of the engines
_VERDICTS = {"better": "#6f8f2a", "worse": "#c0504d", "same": GREY}
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_MARKS = ("\u25cf", "\u25a0", "\u25b2", "\u25c6", "\u271a", "\u25bc")  # the same, as text
_TALL = 260
Row = dict[str, Any]


def name_of(run: Run, one: Result, *, several: bool) -> str:
    """Return what a cell is called in plots, with its run where there are several."""
    return f"{one.cell.title} · #{run.job_id}" if several else one.cell.title


def _what(one: Result) -> str:
    return f"{one.cell.engine} {one.cell.precision}"


def show_tradeoff(runs: Sequence[Run], percentile: Percentile, part: Part) -> None:
    """Draw accuracy against latency; the line joins the cells that no other beats."""
    rows = tradeoff(runs, percentile, part)
    if not rows:
        st.caption("Accuracy isn't measured in these runs: choose a data set to see it here.")
        return
    every = sorted({_what(one) for run in runs for one in run.done})
    shown = {row["what"] for row in rows}
    colours = {what: colour for what, colour in _palette(every).items() if what in shown}
    st.html(_heading("Accuracy (mAP50-95) against latency; the line joins the cells that none "
                     "beats", colours, shapes=True))  # fmt: skip
    x = {"field": "latency", "type": "quantitative", "title": f"{percentile} of a batch, ms",
         "scale": _around([row["latency"] for row in rows], least=1.0),
         "axis": {"format": ",.4~r", "tickCount": 6}}  # fmt: skip
    y = {"field": "map", "type": "quantitative", "title": None,
         "scale": _around([row["map"] for row in rows], least=0.02),
         "axis": {"format": ".3f", "tickCount": 5}}  # fmt: skip
    st.vega_lite_chart(
        rows,
        {
            "height": _TALL,
            "layer": [
                {
                    "transform": [{"filter": "datum.front"}],
                    "mark": {"type": "line", "color": GREY, "strokeDash": [5, 4]},
                    "encoding": {"x": x, "y": y, "order": {"field": "latency"}},
                },
                {
                    "mark": {"type": "point", "filled": True, "size": 110, "opacity": 0.9},
                    "encoding": {
                        "x": x,
                        "y": y,
                        "color": _colour(colours),
                        "shape": {
                            "field": "what",
                            "type": "nominal",
                            "legend": None,
                            "scale": {"domain": list(colours), "range": list(_SHAPES)},
                        },
                        "tooltip": _POINT,
                    },
                },
            ],
        },
        alt="Accuracy against latency",
        width="stretch",
    )


_POINT = [
    {"field": "cell", "title": "cell"},
    {"field": "latency", "title": "ms", "format": ".1f"},
    {"field": "map", "title": "mAP50-95", "format": ".3f"},
    {"field": "rate", "title": "pictures/s", "format": ".1f"},
]


def _around(values: Sequence[float], least: float) -> Row:
    """Return a scale with room around some values, `least` wide and never below zero."""
    low, high = min(values), max(values)
    room = max(0.12 * (high - low), (least - (high - low)) / 2)
    return {"domain": [max(0.0, low - room), high + room], "zero": False, "nice": False}


def tradeoff(runs: Sequence[Run], percentile: Percentile, part: Part) -> list[Row]:
    """Return a row a cell that has both accuracy and speed."""
    rows: list[Row] = []
    for run in runs:
        for one in run.done:
            latency, worth = one.latency(percentile, part), one.map50_95
            if latency is None or worth is None:
                continue
            rows.append(
                {
                    "cell": name_of(run, one, several=len(runs) > 1),
                    "what": _what(one),
                    "latency": latency,
                    "map": worth,
                    "rate": one.rate(part),
                }
            )
    best = set(front([(row["latency"], row["map"]) for row in rows]))
    return [{**row, "front": index in best} for index, row in enumerate(rows)]


def show_throughput(runs: Sequence[Run], part: Part) -> None:
    """Draw throughput against the batch, a line for each engine and precision."""
    rows = throughput(runs, part)
    if not rows:
        return
    colours = _palette(list(dict.fromkeys(row["what"] for row in rows)))
    st.html(_heading("Throughput against batch, pictures a second", colours))
    st.vega_lite_chart(
        rows,
        {
            "height": _TALL,
            "mark": {"type": "line", "point": {"size": 70}, "strokeWidth": 2},
            "encoding": {
                "x": {"field": "batch", "type": "ordinal", "title": "batch",
                      "axis": {"labelAngle": 0}},
                "y": {"field": "rate", "type": "quantitative", "title": None,
                      "axis": {"tickCount": 5}},
                "color": _colour(colours),
                "tooltip": [
                    {"field": "cell", "title": "cell"},
                    {"field": "rate", "title": "pictures/s", "format": ".1f"},
                ],
            },
        },
        alt="Throughput against batch",
        width="stretch",
    )  # fmt: skip


def throughput(runs: Sequence[Run], part: Part) -> list[Row]:
    """Return a row a cell; cells that differ in the batch alone share a line."""
    cells = [one.cell for run in runs for one in run.done]
    sizes, instances = ({getattr(c, n) for c in cells} for n in ("input_size_wh", "instances"))
    rows = []
    for run in runs:
        for one in run.done:
            cell, rate = one.cell, one.rate(part)
            if rate is None:
                continue
            words = [
                _what(one),
                *(["x".join(map(str, cell.input_size_wh))] if len(sizes) > 1 else []),
                *([f"{cell.instances} at once"] if len(instances) > 1 else []),
                *([f"#{run.job_id}"] if len(runs) > 1 else []),
            ]
            name = name_of(run, one, several=len(runs) > 1)
            rows.append(
                {"cell": name, "what": " · ".join(words), "batch": cell.batch, "rate": rate}
            )
    return sorted(rows, key=lambda row: (row["what"], row["batch"]))


def show_distribution(chosen: Sequence[tuple[str, Result]], part: Part) -> None:
    """Draw how the times of single batches are spread, for some cells."""
    rows = distribution(chosen, part)
    if not rows:
        return
    names = [name for name, _ in chosen]
    two = dict(zip(names, _BEFORE_AFTER, strict=False))  # one alone has its engine's colour
    colours = two if len(names) > 1 else _palette(names)
    st.html(_heading("Latency distribution, share of the batches a millisecond", colours))
    tops = [one.latency("p99", part) for _, one in chosen]
    most = 1.15 * max((top for top in tops if top is not None), default=1.0)
    st.vega_lite_chart(
        rows,
        {
            "height": HEIGHT + 40,
            "mark": {"type": "bar", "opacity": 0.55, "binSpacing": 0, "clip": True},
            "encoding": {
                "x": {"field": "from", "type": "quantitative", "title": "ms",
                      "scale": {"domainMax": most, "zero": False, "nice": False}},
                "x2": {"field": "to"},
                "y": {"field": "share", "type": "quantitative", "title": None, "stack": None,
                      "axis": {"tickCount": 4, "format": "%"}},
                "y2": {"datum": 0},
                "color": _colour(colours),
                "tooltip": [
                    {"field": "what", "title": "cell"},
                    {"field": "from", "title": "from, ms", "format": ".1f"},
                    {"field": "to", "title": "to, ms", "format": ".1f"},
                    {"field": "count", "title": "batches"},
                ],
            },
        },
        alt="Latency distribution",
        width="stretch",
    )  # fmt: skip


def distribution(chosen: Sequence[tuple[str, Result]], part: Part) -> list[Row]:
    """Return a row a bin that holds anything."""
    rows = []
    for name, one in chosen:
        spread = one.spread(part) or {}
        edges, counts = spread.get("edges") or (), spread.get("counts") or ()
        total = sum(counts)
        for low, high, count in zip(edges, edges[1:], counts, strict=False):
            if count and high > low:
                share = count / total / (high - low)
                rows.append({"what": name, "from": low, "to": high, "count": count, "share": share})
    return rows


_CHANGES: tuple[tuple[str, str, bool], ...] = (
    ("latency p50", "p50", False),
    ("latency p95", "p95", False),
    ("latency p99", "p99", False),
    ("pictures a second", "rate", True),
    ("mAP50-95", "map", True),
    ("processors", "cpu_share", False),
    ("memory", "memory_bytes", False),
)


def show_change(before: Result, after: Result, part: Part) -> None:
    """Draw a configuration's figures in per cent of another's."""
    rows = change(before, after, part)
    if not rows:
        return
    st.html(_heading("After, in per cent of before", _VERDICTS))
    st.vega_lite_chart(
        rows,
        {
            "height": {"step": 28},
            "layer": [
                {
                    "mark": {"type": "bar", "cornerRadius": 3},
                    "encoding": {
                        "x": {"field": "percent", "type": "quantitative", "title": None},
                        "y": {"field": "what", "type": "nominal", "sort": None, "title": None,
                              "axis": {"labelLimit": 200}},
                        "color": {"field": "verdict", "type": "nominal", "legend": None,
                                  "scale": {"domain": list(_VERDICTS),
                                            "range": list(_VERDICTS.values())}},
                        "tooltip": [
                            {"field": "what", "title": "figure"},
                            {"field": "before", "format": ".3~f"},
                            {"field": "after", "format": ".3~f"},
                            {"field": "verdict", "title": "it is"},
                        ],
                    },
                },
                {
                    "mark": {"type": "rule", "color": GREY, "strokeDash": [4, 4]},
                    "encoding": {"x": {"datum": 100}},
                },
            ],
        },
        alt="Before and after",
        width="stretch",
    )  # fmt: skip


def change(before: Result, after: Result, part: Part) -> list[Row]:
    """Return a row a figure that both have."""
    rows = []
    for what, name, more_is_better in _CHANGES:
        old, new = (_figure(one, name, part) for one in (before, after))
        if not old or new is None:
            continue
        percent = 100 * new / old
        better = (percent > 100) == more_is_better
        verdict = "same" if abs(percent - 100) < 1 else "better" if better else "worse"
        rows.append(
            {"what": what, "percent": percent, "before": old, "after": new, "verdict": verdict}
        )
    return rows


def _figure(one: Result, name: str, part: Part) -> float | None:
    match name:
        case "p50" | "p95" | "p99":
            return one.latency(name, part)
        case "rate":
            return one.rate(part)
        case "map":
            return one.map50_95
        case _:
            return one.number(name)


def _palette(names: Sequence[str]) -> dict[str, str]:
    return {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}


def _colour(colours: dict[str, str]) -> dict[str, Any]:
    return {
        "field": "what",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": list(colours), "range": list(colours.values())},
    }


def _heading(title: str, colours: dict[str, str] | None = None, shapes: bool = False) -> str:
    """Return title and legend as HTML: it wraps on a phone and takes no room from the plot."""
    marks = _MARKS if shapes else _MARKS[1:2]
    entries = "".join(
        f'<span style="white-space:nowrap"><span style="color:{colour}">'
        f"{marks[index % len(marks)]}</span> {escape(name)}</span> "
        for index, (name, colour) in enumerate((colours or {}).items())
    )
    return f'<div style="font-weight:600">{title}</div>{LEGEND.format(entries)}'
