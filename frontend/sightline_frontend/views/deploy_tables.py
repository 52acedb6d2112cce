"""All that Triton has in tables, and single models of it loaded and unloaded."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from sightline_frontend.deployed import (
    KINDS,
    PLATFORMS,
    Deployment,
    ServerModel,
    Statistics,
    TritonStatus,
)
from sightline_frontend.triton_api import TritonApi
from sightline_frontend.views.model_table import day
from sightline_frontend.views.said import act, plain, show_said, viewers

_STATES = {
    "READY": "ready",
    "LOADING": "loading",
    "UNLOADING": "unloading",
    "UNAVAILABLE": "not loaded",
    "": "not loaded",
}


def show_tables(seen: TritonStatus) -> None:
    """Show every deployment, and every model that isn't merely left over from one."""
    if seen.deployments:
        st.subheader("Deployments")
        st.dataframe(
            [_deployment_row(seen, one) for one in seen.deployments],
            hide_index=True,
            placeholder="",
            alt="Deployments",
        )
    if not seen.models:
        return
    st.subheader("Models at Triton")
    shown = sorted((one for one in seen.models if not _left_over(seen, one)), key=_place)
    rows = [_model_row(one) for one in shown]
    st.dataframe(
        rows,
        hide_index=True,
        placeholder="",
        alt="Models at Triton",
        height="content",
        column_order=[
            name
            for name in (rows[0] if rows else ())
            if name not in _AT_TIMES or any(row[name] for row in rows)
        ],
        column_config={
            "model": st.column_config.TextColumn(width=230),
            "what": st.column_config.TextColumn(
                width=145,
                help="Exported: by `sightline triton export`, or put there by other means",
            ),
            "state": st.column_config.TextColumn(width=78),
            "answers": st.column_config.TextColumn(
                width=72, help="A real inference, asked every few seconds"
            ),
            "version": st.column_config.TextColumn(width=60),
            "pictures": st.column_config.NumberColumn(width=72, help="Since it was loaded"),
            "failed": st.column_config.NumberColumn(width=60, help="Since it was loaded"),
            "success": st.column_config.NumberColumn(
                width=78, format="%.2f %%", help="Since it was loaded"
            ),
            "mean": _ms("Since it was loaded"),
            "p50": _ms("In the last minute or so"),
            "p95": _ms("In the last minute or so"),
            "p99": _ms("In the last minute or so"),
            "last, UTC": st.column_config.TextColumn(width=76),
            "batches": st.column_config.TextColumn(
                width=130, help="How many batches ran x pictures in each, since it was loaded"
            ),
        },
    )
    if hidden := len(seen.models) - len(shown):
        st.caption(
            f"{hidden} {'part' if hidden == 1 else 'parts'} of earlier deployments, kept for a "
            "rollback, aren't loaded and not shown."
        )


_AT_TIMES = {"reason", "answers", "failed", "version", "mean", "p50", "p95", "p99"}


def _ms(said: str) -> ColumnConfig:
    return st.column_config.NumberColumn(width=76, format="%.1f ms", help=said)


def _place(model: ServerModel) -> tuple[str, int, str]:
    """Return where a model stands in the table: what people ask for is above its parts."""
    kinds = list(KINDS)
    kind = kinds.index(model.kind) if model.kind in kinds else len(kinds)
    return model.model or model.name, kind, model.name


def _left_over(seen: TritonStatus, model: ServerModel) -> bool:
    """Tell whether it only belongs to a deployment that isn't in service."""
    serving = {(one.model, one.number) for one in seen.active}
    return model.left and model.model is not None and (model.model, model.number) not in serving


def _deployment_row(seen: TritonStatus, one: Deployment) -> dict[str, Any]:
    return {
        "model": one.model,
        "number": one.number,
        "state": _serves(seen, one),
        "file": " · ".join(
            part for part in (one.version and f"v{one.version}", _file(one)) if part
        ),
        "platform": PLATFORMS.get(one.platform, one.platform),
        "precision": one.precision,
        "largest batch": one.max_batch,
        "instances": one.config.get("instance_count"),
        "made, UTC": day(one.created_at),
    }


def _serves(seen: TritonStatus, one: Deployment) -> str:
    """Return what a deployment is doing just now."""
    if not one.active:
        return "kept for a rollback"
    if not seen.live:
        return "away with Triton"
    return "in service" if one.loaded else "not loaded"


def _file(one: Deployment) -> str:
    return "not stored here" if one.artefact_id is None else f"file {one.artefact_id}"


def _model_row(one: ServerModel) -> dict[str, Any]:
    row: dict[str, Any] = {
        "model": one.name,
        "what": KINDS.get(one.kind, one.kind),
        "state": _STATES.get(one.state, one.state.lower()),
        "answers": "" if one.probe is None else "yes" if one.probe.ok else one.probe.error,
        "version": one.version if one.kind == "other" else "",
    }
    # A reason is a whole sentence: at the end, where there is room for it.
    return row | _figures(one.statistics or Statistics()) | {"reason": one.trouble}


def _figures(seen: Statistics) -> dict[str, Any]:
    asked = bool(seen.requests or seen.failures)
    return {
        "pictures": seen.inferences if asked else None,
        "failed": seen.failures if asked else None,
        "success": None if seen.success_rate is None else 100 * seen.success_rate,
        "mean": seen.mean_ms.get("request") if asked and seen.p50_ms is None else None,
        "p50": seen.p50_ms,
        "p95": seen.p95_ms,
        "p99": seen.p99_ms,
        "last, UTC": seen.last_inference_at[11:19],
        "batches": ", ".join(f"{ran:,}x{n}" for n, ran in sorted(seen.batch_sizes.items())),
    }


def show_load(api: TritonApi, seen: TritonStatus, live: Collection[str]) -> None:
    """Load and unload any model of Triton's, also one that wasn't deployed from here.

    `live` are the deployed models that live video goes through.
    """
    with st.expander("Load or unload one model", icon=":material/memory:", key="deploy-one"):
        show_said("deploy-one")
        if not seen.models:
            st.caption("Triton's repository holds no model.")
            return
        names = [one.name for one in seen.models]
        name = st.selectbox("Model at Triton", names, key="deploy-one-name")
        together = st.toggle(
            "Unload also what it is made of", value=True, key="deploy-one-dependents",
            help="An ensemble leaves its parts loaded otherwise.",
        )  # fmt: skip
        with st.container(horizontal=True, gap="small"):
            if st.button("Load", icon=":material/play_arrow:", key="deploy-one-load"):
                with st.spinner(f"{name} is loaded"):
                    act("deploy-one", lambda: _loaded(api, name))
                st.rerun()
            with st.popover("Unload", icon=":material/stop_circle:", key="ask-deploy-one-unload"):
                st.markdown(
                    f"Nobody is answered by {plain(name)} until it is loaded again."
                    f"{viewers(_shows(seen, name, live))}"
                )
                if st.button("Yes, unload it", type="primary", key="deploy-one-unload"):
                    with st.spinner(f"{name} is unloaded"):
                        act("deploy-one", lambda: _unloaded(api, name, dependents=together))
                    st.rerun()


def _shows(seen: TritonStatus, name: str, live: Collection[str]) -> bool:
    """Tell whether live video goes through one of Triton's models."""
    serving = {(one.model, one.number) for one in seen.active if one.model in live}
    return any((one.model, one.number) in serving for one in seen.models if one.name == name)


def _loaded(api: TritonApi, name: str) -> str:
    api.load(name)
    return f"{plain(name)} is loaded."


def _unloaded(api: TritonApi, name: str, *, dependents: bool) -> str:
    api.unload(name, dependents=dependents)
    return f"{plain(name)} is unloaded."
