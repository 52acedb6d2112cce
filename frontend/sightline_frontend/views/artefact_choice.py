"""The choice of one of a model's files, and of what runs it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sightline_frontend.catalogue import ENGINES, Artefact

AS_SET = "As the detector is set"


def choose_artefact(
    label: str, artefacts: Sequence[Artefact], key: str, *, numbered: bool = False
) -> Artefact:
    """Ask for one of several files; a choice stays though the file is measured meanwhile."""
    by_id = {one.id: one for one in artefacts}
    titles = {
        one.id: f"{one.title} · file {one.id}" if numbered else one.title for one in artefacts
    }
    chosen = st.selectbox(label, list(by_id), format_func=lambda one: titles.get(one, one), key=key)
    return by_id[chosen]


def choose_engine(artefact: Artefact, key: str, *, triton: bool = False, first: str = "") -> str:
    """Ask for one of the engines that take a file, `first` before others; "" is the detector's
    setting.

    `triton`: the detector knows a Triton server, which must have the file deployed.
    """
    engines = ["", *artefact.runs_on, *(["triton"] if triton and artefact.platform else [])]
    return st.selectbox(
        "Engine", engines, engines.index(first) if first in engines else 0,
        key=f"{key}-{artefact.format}", format_func=lambda one: ENGINES.get(one, one or AS_SET),
    )  # fmt: skip


def title_on(artefact: Artefact, engine: str) -> str:
    """Return a file's title and what runs it; "" is the detector's setting."""
    if not engine and len(artefact.runs_on) == 1:
        engine = artefact.runs_on[0]
    how = f"on {ENGINES.get(engine, engine)}" if engine else "as the detector is set"
    return f"{artefact.title}, {how}"
