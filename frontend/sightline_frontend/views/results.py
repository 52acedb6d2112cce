"""What runs found: the recommendation in words, every cell in one table, files to download."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from sightline_frontend.backend import BackendError
from sightline_frontend.measured import Recommendation, Result, Run
from sightline_frontend.views.benchmark_form import limits
from sightline_frontend.views.said import plain, words
from sightline_frontend.work_api import WorkApi

_EXPORTS = {
    "csv": ("CSV", "text/csv"),
    "json": ("JSON", "application/json"),
    "xlsx": ("Excel", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
}


def show_recommendation(work: WorkApi, runs: Sequence[Run]) -> Recommendation | None:
    """Show which configuration to take under the limits that are typed, and why."""
    try:
        found = work.recommend([run.job_id for run in runs], **limits())
    except BackendError as error:
        st.info(words(error), icon=":material/info:")
        return None
    with st.container(border=True, gap="small", key="recommendation"):
        if found.best is None:
            st.badge("Nothing fits", icon=":material/block:", color="orange")
        else:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.badge("Recommended", icon=":material/verified:", color="green")
                st.markdown(f"**{plain(found.best.title)}**")
        st.markdown("\n".join(f"- {plain(reason)}" for reason in found.reasons))
        if found.rejected:
            with st.expander(f"Why not the others ({len(found.rejected)})"):
                lines = [f"- {plain(cell.title)}: {plain(why)}" for cell, why in found.rejected]
                st.markdown("\n".join(lines))
    return found


def show_table(runs: Sequence[Run], best: Recommendation | None) -> None:
    """Show every cell, accuracy beside speed; then which figures to doubt, and what failed."""
    rows = [_row(run, one, best) for run in runs for one in run.done]
    if rows:
        st.dataframe(
            rows,
            hide_index=True,
            placeholder="",
            alt="Measured cells",
            column_order=_columns(rows),
            column_config=_shown(),
        )
    _doubts(runs)
    for run in runs:
        for one in run.results:
            if one.state == "failed":
                st.error(
                    f"{plain(one.cell.title)} failed: {plain(one.error or 'no reason is known')}",
                    icon=":material/error:",
                )
            elif one.state == "skipped":
                st.caption(f"{plain(one.cell.title)} was left out: {plain(one.error or '')}")


def _shown() -> dict[str, Any]:
    """Return how each column's figures are written."""
    return {
        "best": st.column_config.TextColumn("", width=40),
        "mAP50-95": st.column_config.NumberColumn(format="%.3f"),
        "mAP50": st.column_config.NumberColumn(format="%.3f"),
        "cores": st.column_config.NumberColumn(format="%.2f", help="Processors kept busy, mean"),
        "memory": st.column_config.NumberColumn(format="%.0f MB"),
        "GPU": st.column_config.NumberColumn(format="percent"),
        "GPU memory": st.column_config.NumberColumn(format="%.0f MB"),
        "power": st.column_config.NumberColumn(format="%.0f W"),
        "pictures/s": st.column_config.NumberColumn(
            format="%.1f", help="Whole pipeline, all instances"
        ),
        "engine/s": st.column_config.NumberColumn(
            format="%.1f", help="Engine alone, all instances"
        ),
        **{
            name: st.column_config.NumberColumn(format="%.1f ms", help=_TIMES)
            for name in ("p50", "p95", "p99", "engine p95")
        },
    }


_TIMES = "Time of one batch; p50 to p99 of the whole pipeline, from JPEG to boxes"


def _row(run: Run, one: Result, best: Recommendation | None) -> dict[str, Any]:
    recommended = best is not None and best.best is not None and _same(best, one)
    gpu_bytes, memory = one.number("gpu_memory_bytes"), one.number("memory_bytes")
    return {
        "best": "★" if recommended else "",
        "run": f"#{run.job_id}",
        "model": run.model,
        "engine": one.cell.engine,
        "precision": one.cell.precision,
        "batch": one.cell.batch,
        "input": "x".join(map(str, one.cell.input_size_wh)),
        "instances": one.cell.instances,
        "mAP50-95": one.map50_95,
        "mAP50": one.map50,
        "pictures/s": one.rate(),
        "p50": one.latency("p50"),
        "p95": one.latency("p95"),
        "p99": one.latency("p99"),
        "engine/s": one.rate("engine"),
        "engine p95": one.latency("p95", "engine"),
        "cores": one.number("cpu_share"),
        "memory": None if memory is None else memory / 1e6,
        "GPU": one.number("gpu_share"),
        "GPU memory": None if gpu_bytes is None else gpu_bytes / 1e6,
        "power": one.number("power_watts"),
        "disturbed": "disturbed" if one.disturbed else "",
    }


def _same(best: Recommendation, one: Result) -> bool:
    files = (best.artefact_id, one.artefact_id)
    return best.best == one.cell and (None in files or files[0] == files[1])


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the columns that say something: neither empty nor the same everywhere."""
    few = {"run", "model", "instances", "input", "disturbed"}
    return [
        name
        for name in rows[0]
        if any(row[name] not in (None, "") for row in rows)
        and (name not in few or len({row[name] for row in rows}) > 1 or name == "disturbed")
    ]


def _doubts(runs: Sequence[Run]) -> None:
    shares = [one.disturbed for run in runs for one in run.done if one.disturbed]
    if not shares:
        return
    some = f"{len(shares)} measurements were" if len(shares) > 1 else "One measurement was"
    st.warning(
        f"{some} disturbed: other programs kept the processors busy, so that the measured one "
        f"waited up to {max(shares):.0%} of its time. Its figures are worse than on a quiet "
        "machine; measure again when less is going on.",
        icon=":material/warning:",
    )


def show_exports(work: WorkApi, runs: Sequence[Run]) -> None:
    """Offer the runs as files."""
    jobs = [run.job_id for run in runs]
    with st.container(horizontal=True):
        for form, (name, mime) in _EXPORTS.items():
            st.download_button(
                name, partial(work.export, jobs, form), f"benchmark.{form}", mime,
                on_click="ignore", icon=":material/download:", key=f"export-{form}",
            )  # fmt: skip


def show_classes(runs: Sequence[Run]) -> None:
    """Show the average precision of each class, a column for each file that was judged."""
    table: dict[str, dict[str, Any]] = {}
    for run in runs:
        for one in run.done:
            for label, found in (one.accuracy or {}).get("per_class", {}).items():
                row = table.setdefault(label, {"class": label, "boxes": found.get("boxes")})
                several = f" #{run.job_id}" if len(runs) > 1 else ""
                row[f"{one.cell.engine} {one.cell.precision}{several}"] = found.get("ap50_95")
    rows = sorted(table.values(), key=lambda row: -(row["boxes"] or 0))
    if not any(value is not None for row in rows for name, value in row.items() if name != "class"):
        return
    rows = [row for row in rows if row["boxes"]]
    names = {name for row in rows for name in row} - {"class", "boxes"}
    with st.expander(f"Average precision of each class ({len(rows)})", icon=":material/category:"):
        st.dataframe(
            rows,
            hide_index=True,
            placeholder="",
            alt="AP50-95 of each class",
            column_config={name: st.column_config.NumberColumn(format="%.3f") for name in names},
        )
