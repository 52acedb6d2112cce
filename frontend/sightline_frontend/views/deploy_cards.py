"""What is deployed to Triton: a card for each model, with figures and buttons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import streamlit as st

from sightline_frontend.catalogue import Served
from sightline_frontend.deployed import PLATFORMS, Deployment, ServerModel, TritonStatus
from sightline_frontend.models_api import ModelsApi, Wish
from sightline_frontend.triton_api import TritonApi
from sightline_frontend.views.deploy_figures import show_figures
from sightline_frontend.views.model_table import day
from sightline_frontend.views.said import act, plain, show_said, viewers

_REASON = "from the page Deploy"


def show_cards(
    api: TritonApi, models: ModelsApi, seen: TritonStatus, serving: Sequence[Served]
) -> None:
    """Show what is in service, model by model."""
    for deployment in seen.active:
        served = next((one for one in serving if one.model == deployment.model), None)
        live = served is not None and served.engine == "triton"
        with st.container(border=True, gap="small", key=f"deployed-{deployment.model}"):
            _heading(seen, deployment, live=live)
            show_said(_place(deployment))
            if seen.live:
                show_figures(seen, deployment)
            with st.container(horizontal=True, gap="small"):
                _live_video(models, deployment, live=live, there=seen.live)
                if seen.live and seen.can_deploy:
                    _roll_back(api, deployment)
                if seen.live:
                    _load(api, deployment, live=live)
                if seen.live and seen.can_deploy:
                    _remove(api, deployment, live=live)


def _place(deployment: Deployment) -> str:
    return f"deployed-{deployment.model}"


def _heading(seen: TritonStatus, deployment: Deployment, *, live: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{plain(deployment.model)}**", width="content")
        st.badge(f"Deployment {deployment.number}", color="gray")
        if not seen.live:
            st.badge("Away", icon=":material/power_off:", color="red")
        elif not deployment.loaded:
            st.badge("Not loaded", icon=":material/power_off:", color="orange")
        elif _silent(seen.named(deployment.pictures)) or _silent(seen.named(deployment.tensors)):
            st.badge("Doesn't answer", icon=":material/error:", color="red")
        else:
            st.badge("In service", icon=":material/check_circle:", color="green")
        if live:
            st.badge("Live video", icon=":material/videocam:", color="blue")
    platform = PLATFORMS.get(deployment.platform, deployment.platform)
    facts = [
        f"v{deployment.version}" if deployment.version else "",
        f"{platform} {deployment.precision}",
        f"batches up to {deployment.max_batch}",
        _instances(deployment),
        f"made {day(deployment.created_at)} UTC",
    ]
    st.caption(plain(" · ".join(fact for fact in facts if fact)))


def _instances(deployment: Deployment) -> str:
    count = deployment.config.get("instance_count")
    return "" if count is None else "1 instance" if count == 1 else f"{count} instances"


def _silent(model: ServerModel | None) -> bool:
    return model is not None and model.probe is not None and not model.probe.ok


def _live_video(models: ModelsApi, deployment: Deployment, *, live: bool, there: bool) -> None:
    """Let the detector's live video go through this deployment, or back."""
    if deployment.kind != "detector" or not (live or there):
        return
    file, why_not = deployment.artefact_id, None
    if file is None:
        why_not = "Its file isn't among this detector's models."
    elif not deployment.loaded and not live:
        why_not = "Load it first."
    label, icon, engine = "Serve live video through Triton", ":material/videocam:", "triton"
    if live:
        label, icon, engine = "Serve live video without Triton", ":material/home:", ""
    asked = st.button(
        label, icon=icon, key=f"live-{deployment.model}", disabled=why_not is not None, help=why_not
    )
    if asked and file is not None:
        action = partial(_promoted, models, deployment.model, file, engine)
        _do(deployment, action, "It is loaded and warmed beside the one that serves")


def _roll_back(api: TritonApi, deployment: Deployment) -> None:
    before = deployment.rollback_to
    if before is None:
        return
    label = f"Roll back to {before}"
    if st.button(label, icon=":material/undo:", key=f"back-{deployment.model}"):
        doing = f"Deployment {before} is loaded and tried beside what serves"
        _do(deployment, partial(_rolled_back, api, deployment), doing)


def _load(api: TritonApi, deployment: Deployment, *, live: bool) -> None:
    key = f"load-{deployment.model}"
    if not deployment.loaded:
        if st.button("Load", icon=":material/play_arrow:", key=key):
            _do(deployment, partial(_loaded, api, deployment), "It is loaded")
        return
    with st.popover("Unload", icon=":material/stop_circle:", key=f"ask-un{key}"):
        st.markdown(
            f"{plain(deployment.model)} leaves Triton's memory with all that it is made of, and "
            f"nobody is answered until it is loaded again.{viewers(live)}"
        )
        if st.button("Yes, unload it", type="primary", key=f"un{key}"):
            _do(deployment, partial(_unloaded, api, deployment), "It is unloaded")


def _remove(api: TritonApi, deployment: Deployment, *, live: bool) -> None:
    key = f"remove-{deployment.model}"
    with st.popover("Remove", icon=":material/delete:", key=f"ask-{key}"):
        st.markdown(
            f"All deployments of {plain(deployment.model)} leave Triton, and their files there "
            f"are deleted. The stored model stays.{viewers(live)}"
        )
        if st.button("Yes, remove them", type="primary", key=key):
            _do(deployment, partial(_removed, api, deployment), "It is removed", "deploy")


def _do(deployment: Deployment, action: Callable[[], str], doing: str, place: str = "") -> None:
    with st.spinner(doing):
        act(place or _place(deployment), action)
    st.rerun()


def _promoted(models: ModelsApi, name: str, artefact_id: int, engine: str) -> str:
    done: dict[str, Any] = models.promote(name, Wish(artefact_id, engine, reason=_REASON))
    seconds = done.get("seconds")
    took = f", after {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    way = "goes through Triton now" if engine else "is served by the detector itself again"
    return f"Live video {way}{took}. No stream was interrupted."


def _rolled_back(api: TritonApi, deployment: Deployment) -> str:
    now = api.roll_back(deployment.model)
    return f"Deployment {now.number} serves again. No request was lost."


def _loaded(api: TritonApi, deployment: Deployment) -> str:
    for name in (deployment.pictures, deployment.tensors):
        api.load(name)
    return "It is loaded and answers."


def _unloaded(api: TritonApi, deployment: Deployment) -> str:
    for name in (deployment.tensors, deployment.pictures):
        api.unload(name, dependents=True)
    return "It is unloaded."


def _removed(api: TritonApi, deployment: Deployment) -> str:
    api.remove(deployment.model)
    return f"{plain(deployment.model)} is no longer deployed."
