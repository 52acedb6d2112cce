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


def choose_engine(artefact: Artefact, key: str) -> str:
    """Ask for one of the engines that take a file; "" is the detector's setting."""
    return st.selectbox(
        "Engine", ["", *artefact.runs_on], key=f"{key}-{artefact.format}",
        format_func=lambda one: ENGINES.get(one, one or AS_SET),
    )  # fmt: skip
