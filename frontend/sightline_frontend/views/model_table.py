"""The models in one table, and a model's files in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from sightline_frontend.backend import BackendError
from sightline_frontend.catalogue import (
    ENGINES,
    FORMATS,
    Artefact,
    Listed,
    ModelDetail,
    Served,
)
from sightline_frontend.models_api import ModelsApi
from sightline_frontend.views.said import words

EVERY_S = 2.0


@st.fragment(run_every=EVERY_S)
def show_models(api: ModelsApi, names: Sequence[str]) -> None:
    """Show all models and what serves, again and again; new names have the page drawn again."""
    try:
        listed, serving = api.listed(), api.serving()
    except BackendError as error:
        if api.backend.health() is None:
            st.rerun()  # the page waits for the detector
        st.error(words(error), icon=":material/cloud_off:")
        return
    if [model.name for model in listed] != list(names):
        st.rerun()
    served = {one.model: one for one in serving}
    st.dataframe(
        [_model_row(model, served.get(model.name)) for model in listed],
        hide_index=True,
        placeholder="",
        alt="Models and what serves",
        column_config={
            "streams": st.column_config.NumberColumn(help="Open streams that ask for it"),
            "serves": st.column_config.TextColumn(width=235),  # also for what it serves later
            "engine": st.column_config.TextColumn(
                help="A model that no stream asks for may leave the memory; it is loaded when one "
                "does."
            ),
            "description": st.column_config.TextColumn(width="large"),
        },
    )
    for one in serving:
        if one.rebuilding:
            st.info(
                f"The TensorRT plan of {one.model} is being built again for this machine; its "
                "ONNX serves until then.",
                icon=":material/build:",
            )


def _model_row(model: Listed, served: Served | None) -> dict[str, Any]:
    return {
        "model": model.name + (" (default)" if model.default else ""),
        "serves": _unloaded_words(model) if served is None else _served_words(served),
        "engine": "loads when asked"
        if served is None
        else ENGINES.get(served.engine, served.engine),
        "streams": 0 if served is None else served.streams,
        "versions": model.versions,
        "licence": model.licence,
        "description": model.description,
    }


def _unloaded_words(model: Listed) -> str:
    if model.format == "pt":
        return "convert it first"
    version = f"v{model.version} · " if model.version else ""
    return f"{version}{FORMATS.get(model.format, model.format)} {model.precision}"


def _served_words(served: Served) -> str:
    version = f"v{served.version} · " if served.version else ""
    shadow = ", and a shadow" if served.shadow else ""
    return f"{version}{FORMATS.get(served.format, served.format)} {served.precision}{shadow}"


def show_files(detail: ModelDetail) -> None:
    """Show every file of a model, with what is known of it."""
    rows = [_file_row(detail, artefact) for artefact in detail.artefacts]
    st.dataframe(
        rows,
        hide_index=True,
        placeholder="",
        alt=f"Files of {detail.name}",
        column_order=[
            name
            for name in (rows[0] if rows else ())
            if name not in _MEASURED or any(row[name] not in (None, "") for row in rows)
        ],
        column_config={
            "serves": st.column_config.CheckboxColumn(width=60),
            "format": st.column_config.TextColumn(width=85),
            "size": st.column_config.NumberColumn(format="%.1f MB"),
            "agrees": st.column_config.NumberColumn(
                format="%.1f %%", help="Share of its boxes that its source finds as well"
            ),
            "mAP50-95": st.column_config.NumberColumn(format="%.3f"),
            "mAP50": st.column_config.NumberColumn(format="%.3f"),
            "pictures/s": st.column_config.NumberColumn(
                format="%.1f", help="Whole pipeline, newest measurement"
            ),
            "p95": st.column_config.NumberColumn(
                format="%.1f ms", help="Time of one batch, whole pipeline"
            ),
        },
    )


_MEASURED = {"agrees", "mAP50-95", "mAP50", "pictures/s", "p95", "measured on"}  # later


def _file_row(detail: ModelDetail, artefact: Artefact) -> dict[str, Any]:
    version = detail.version(artefact.version)
    size = None if version is None else version.input_size_wh
    newest, judged = artefact.newest, artefact.judged
    return {
        "file": artefact.id,
        "serves": artefact.id == detail.active_id,
        "version": f"v{artefact.version}",
        "format": FORMATS.get(artefact.format, artefact.format),
        "precision": artefact.precision,
        "input": f"{size[0]}x{size[1]}" if size else "any",
        "size": artefact.size_bytes / 1e6,
        "agrees": None if artefact.parity is None else 100 * artefact.parity.get("agreeing", 0),
        "mAP50-95": None if judged is None else judged.result.map50_95,
        "mAP50": None if judged is None else judged.result.map50,
        "pictures/s": None if newest is None else newest.result.rate(),
        "p95": None if newest is None else newest.result.latency("p95"),
        "measured on": ""
        if newest is None
        else f"{ENGINES.get(newest.engine, newest.engine)}, batch {newest.result.cell.batch}",
        "from": artefact.origin,
        "added": day(artefact.created_at)[:10],
    }


def day(at: str) -> str:
    """Return a time of the detector as people write it, UTC."""
    return at[:16].replace("T", " ")
