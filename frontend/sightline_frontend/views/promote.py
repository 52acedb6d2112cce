"""What serves under a model's name: promote, roll back, and what did so before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from sightline_frontend.catalogue import ENGINES, Artefact, ModelDetail, Promotion, Served
from sightline_frontend.models_api import ModelsApi, Wish
from sightline_frontend.views.artefact_choice import (
    AS_SET,
    choose_artefact,
    choose_engine,
    title_on,
)
from sightline_frontend.views.model_table import day
from sightline_frontend.views.said import act, plain, show_said


def show_promote(
    api: ModelsApi, detail: ModelDetail, served: Served | None, *, triton: bool
) -> None:
    """Show what serves, and let another file serve; `triton`: through a Triton server, too."""
    show_said("promote")
    active = detail.active
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge("Serves", icon=":material/check_circle:", color="green")
        st.text("nothing" if active is None else _serves(active, detail, served))
        _roll_back(api, detail)
    others = [one for one in detail.artefacts if one.runs_on]
    if not others:
        st.info("Convert the checkpoint to ONNX first: a .pt file can't serve.")
        return
    left, right = st.columns(2, gap="medium")
    with left:
        artefact = choose_artefact("To serve", others, f"promote-{detail.name}")
    with right:
        engine = choose_engine(
            artefact, f"promote-engine-{detail.name}", triton=triton, first=_first(detail, served)
        )
    st.caption(_gate(detail, artefact))
    if engine == "triton":
        st.caption("Triton must have this file: deploy it on the page Deploy first.")
    wish = _wish(detail, artefact, engine)
    same = active is not None and artefact.id == active.id and engine == detail.active_engine
    if st.button(
        "Put into service", type="primary", icon=":material/rocket_launch:", key="promote-start",
        disabled=same, help="It serves already." if same else None,
    ):  # fmt: skip
        with st.spinner("It is loaded and warmed beside the one that serves"):
            done = act("promote", lambda: _promote(api, detail.name, artefact, wish))
        st.session_state["promote-done"] = done
        st.rerun()
    _history(detail)


def _serves(active: Artefact, detail: ModelDetail, served: Served | None) -> str:
    engine = served.engine if served is not None and served.engine else detail.active_engine
    return title_on(active, engine)


def _first(detail: ModelDetail, served: Served | None) -> str:
    """Return the engine to propose: who serves through Triton as a rule means to go on so."""
    now = {detail.active_engine, "" if served is None else served.engine}
    return "triton" if "triton" in now else ""


def _roll_back(api: ModelsApi, detail: ModelDetail) -> None:
    before = detail.artefact(detail.before_id)
    if before is None:
        return
    label = f"Roll back to {title_on(before, detail.before_engine)}"
    if st.button(label, icon=":material/undo:", key="roll-back"):
        act("promote", lambda: _rolled_back(api, detail.name))
        st.rerun()


def _wish(detail: ModelDetail, artefact: Artefact, engine: str) -> Wish:
    """Ask whether it may pass the gate, and why; both are for one promotion alone."""
    force_key, reason_key = f"promote-force-{detail.name}", f"promote-reason-{detail.name}"
    if st.session_state.pop("promote-done", False):
        st.session_state[force_key], st.session_state[reason_key] = False, ""
    force = st.checkbox(
        "Promote even if it loses more accuracy than the limit allows, or was never measured",
        key=force_key,
    )
    reason = st.text_input(
        "Reason", key=reason_key,
        placeholder="Why the loss is worth it" if force else "Kept in the history, if you like",
    )  # fmt: skip
    return Wish(artefact.id, engine, force, reason.strip())


def _gate(detail: ModelDetail, artefact: Artefact) -> str:
    """Say what changing to a file costs in accuracy, as far as it was measured."""
    active = detail.active
    if active is None or artefact.id == active.id:
        return "Measured files show here what they would lose in accuracy."
    before, after = active.accuracies, artefact.accuracies
    both = [sha for sha in after if sha in before]  # the newest last
    if both:
        old, new = before[both[-1]], after[both[-1]]
        change = f"loses {old - new:.3f}" if old >= new else f"gains {new - old:.3f}"
        return f"mAP50-95 {old:.3f} now, {new:.3f} then: it {change}."
    if before and after:
        return "The two were measured on different pictures, so their accuracy can't be compared."
    whose = "The accuracy of what serves" if after else "Its accuracy"
    advice = "measure both on one data set on the page Benchmark"
    if (active.version, active.precision) == (artefact.version, artefact.precision):
        return f"{whose} isn't measured; of the same precision it should lose nothing."
    return f"{whose} isn't measured, so the gate refuses it: {advice}."


def _promote(api: ModelsApi, name: str, artefact: Artefact, wish: Wish) -> str:
    done = api.promote(name, wish)
    return f"{plain(artefact.title)} serves now{_cost(done)}. No stream was interrupted."


def _rolled_back(api: ModelsApi, name: str) -> str:
    return f"What served before serves again{_cost(api.roll_back(name))}."


def _cost(done: dict[str, Any]) -> str:
    loss, seconds = done.get("accuracy_loss"), done.get("seconds")
    text = f", after {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    return text + (f"; mAP50-95 changes by {-loss:+.3f}" if isinstance(loss, int | float) else "")


def _history(detail: ModelDetail) -> None:
    if not detail.promotions:
        st.caption("Nothing was promoted yet: the first version's own file serves.")
        return
    st.markdown("**History**")
    st.dataframe(
        _rows(detail, detail.promotions), hide_index=True, placeholder="", alt="What served when"
    )


def _rows(detail: ModelDetail, promotions: Sequence[Promotion]) -> list[dict[str, Any]]:
    newest_first = sorted(promotions, key=lambda one: one.created_at, reverse=True)
    rows = []
    for one in newest_first:
        artefact = detail.artefact(one.artefact_id)
        rows.append(
            {
                "since": day(one.created_at),
                "served": f"file {one.artefact_id}" if artefact is None else artefact.title,
                "engine": ENGINES.get(one.engine, one.engine or AS_SET),
                "loss, mAP50-95": one.accuracy_loss,
                "past the gate": one.forced,
                "reason": one.reason,
                "rolled back": day(one.rolled_back_at or ""),
            }
        )
    return rows
