"""A shadow run: some frames go to another file as well, and the two are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from sightline_frontend.backend import BackendError
from sightline_frontend.catalogue import ModelDetail
from sightline_frontend.models_api import ModelsApi
from sightline_frontend.views.artefact_choice import choose_artefact, choose_engine
from sightline_frontend.views.said import act, plain, show_said, words
from sightline_frontend.views.tiles import NOTHING

EVERY_S = 2.0


def show_shadow(api: ModelsApi, detail: ModelDetail) -> None:
    """Show the report of a shadow run, and start one where none runs."""
    show_said("shadow")
    try:
        report = api.shadow_report(detail.name)
    except BackendError as error:
        st.error(words(error), icon=":material/error:")
        return
    if report is not None and report.get("running"):
        _watch(api, detail)
        return
    if report is not None:
        _report(detail, report)
    others = [one for one in detail.artefacts if one.runs_on and one.id != detail.active_id]
    if not others:
        st.info("There is nothing to compare with: convert this model, or add a version.")
        return
    st.caption(
        "Some of the frames that this model gets go to a second file, too. Viewers see the first "
        "one's boxes; how the two differ is counted."
    )
    left, middle, right = st.columns(3, gap="medium")
    with left:
        artefact = choose_artefact("In the shadow", others, f"shadow-{detail.name}")
    with middle:
        engine = choose_engine(artefact, f"shadow-engine-{detail.name}")
    with right:
        share = st.slider("Share of the frames, %", 1, 100, 10, key=f"shadow-share-{detail.name}")
    if st.button("Start the shadow run", icon=":material/compare:", key="shadow-start"):
        act("shadow", lambda: _start(api, detail.name, artefact.id, engine, share / 100))
        st.rerun()


@st.fragment(run_every=EVERY_S)
def _watch(api: ModelsApi, detail: ModelDetail) -> None:
    """Show how a shadow run goes, again and again, until it ends."""
    try:
        report = api.shadow_report(detail.name)
    except BackendError as error:
        st.warning(words(error), icon=":material/cloud_off:")
        return
    if report is None or not report.get("running"):
        st.rerun()
    _report(detail, report)
    if st.button("End the shadow run", icon=":material/stop_circle:", key="shadow-end"):
        act("shadow", lambda: _end(api, detail.name))
        st.rerun()


def _report(detail: ModelDetail, report: Mapping[str, Any]) -> None:
    artefact = detail.artefact(report.get("artefact_id"))
    name = "Another file" if artefact is None else artefact.title
    share, running = _percent(report.get("share")), report.get("running")
    saw = f"sees {share} of the frames" if running else f"saw {share} of the frames, until it ended"
    st.markdown(f"**{plain(name)}** {saw}.")
    columns = st.columns(4)
    for column, (label, value) in zip(columns, _tiles(report), strict=True):
        with column:
            st.metric(label, value, border=True)
    missed, added = (_counts(report.get(f"only_{one}")) for one in ("serving", "candidate"))
    if missed or added:
        st.caption(f"It missed {missed or 'nothing'}, and found {added or 'nothing'} beyond.")
    if report.get("failed"):
        st.warning(f"It failed on {report['failed']} frames.", icon=":material/warning:")


def _tiles(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    frames, times = report.get("compared"), report.get("infer_ms") or {}
    return [
        ("Frames compared", NOTHING if frames is None else f"{frames:,}"),
        ("Boxes that agree", _percent(report.get("agreeing"))),
        ("Inference, serving, p50", _ms((times.get("serving") or {}).get("p50"))),
        ("Inference, shadow, p50", _ms((times.get("candidate") or {}).get("p50"))),
    ]


def _counts(found: Any) -> str:
    """Return boxes by class in words, the most frequent first."""
    if not isinstance(found, dict):
        return ""
    most = sorted(found.items(), key=lambda item: -item[1])[:5]
    return ", ".join(f"{count} {plain(str(label))}" for label, count in most)


def _percent(share: Any) -> str:
    return f"{share:.1%}" if isinstance(share, int | float) else NOTHING


def _ms(value: Any) -> str:
    return f"{value:.1f} ms" if isinstance(value, int | float) else NOTHING


def _start(api: ModelsApi, name: str, artefact_id: int, engine: str, share: float) -> str:
    api.shadow(name, artefact_id, engine, share)
    return "The shadow run has started."


def _end(api: ModelsApi, name: str) -> str:
    api.end_shadow(name)
    return "The shadow run has ended."
