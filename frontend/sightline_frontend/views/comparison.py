"""Runs side by side: which are shown, and their plots."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sightline_frontend.measured import Part, Percentile, Recommendation, Result, Run
from sightline_frontend.views.model_table import day
from sightline_frontend.views.plots import (
    name_of,
    show_change,
    show_distribution,
    show_throughput,
    show_tradeoff,
)

_PARTS: dict[str, Part] = {"Whole pipeline": "pipeline", "Engine alone": "engine"}
_PERCENTILES: list[Percentile] = ["p50", "p90", "p95", "p99"]


def choose_runs(runs: Sequence[Run]) -> list[Run]:
    """Ask which runs are shown; the newest one unless others are chosen."""
    newest = runs[0].job_id
    if st.session_state.get("runs-newest") != newest:  # a new run is shown at once
        st.session_state["runs-newest"] = newest
        st.session_state["runs-shown"] = [newest]
    by_id = {run.job_id: run for run in runs}
    shown = st.session_state.get("runs-shown", [newest])
    st.session_state["runs-shown"] = [one for one in shown if one in by_id]
    chosen = st.multiselect(
        "Runs", list(by_id), key="runs-shown", format_func=lambda one: _words(by_id[one]),
        placeholder="Choose the runs to compare",
    )  # fmt: skip
    return [by_id[one] for one in chosen]


def _words(run: Run) -> str:
    partial = "" if run.state == "done" else f", {run.state}"
    cells = f"{len(run.done)} cell{'s' if len(run.done) != 1 else ''}"
    return f"#{run.job_id} {run.model}, {cells}, {day(run.created_at)}{partial}"


def show_plots(runs: Sequence[Run], best: Recommendation | None) -> None:
    """Draw the runs' cells."""
    with st.container(horizontal=True, gap="medium"):
        time_of = st.segmented_control(
            "Time of", list(_PARTS), default="Whole pipeline", required=True, key="plots-part"
        )
        percentile = st.segmented_control(
            "Percentile", _PERCENTILES, default="p95", required=True, key="plots-percentile"
        )
    part = _PARTS[time_of]
    left, right = st.columns(2, gap="medium")
    with left:
        show_tradeoff(runs, percentile, part)
    with right:
        show_throughput(runs, part)
    cells = {
        name_of(run, one, several=len(runs) > 1): one
        for run in runs
        for one in run.done
        if one.spread(part)
    }
    if len(cells) < 2:
        show_distribution(list(cells.items()), part)
        return
    _before_after(cells, best, part)


def _before_after(cells: dict[str, Result], best: Recommendation | None, part: Part) -> None:
    """Ask for two cells and draw how they differ."""
    names = list(cells)
    recommended = None if best is None else best.best
    after = next((i for i, name in enumerate(names) if cells[name].cell == recommended), 1)
    left, right = st.columns(2, gap="medium")
    with left:
        old = st.selectbox("Before", names, index=0 if after else 1, key="plots-before")
    with right:
        new = st.selectbox("After", names, index=after, key="plots-after")
    left, right = st.columns(2, gap="medium")
    with left:
        show_distribution([(name, cells[name]) for name in dict.fromkeys((old, new))], part)
    with right:
        show_change(cells[old], cells[new], part)
