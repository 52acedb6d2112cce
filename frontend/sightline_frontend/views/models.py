"""The models page: keep, convert, promote."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sightline_frontend.backend import Backend, BackendError
from sightline_frontend.catalogue import ModelDetail, Served
from sightline_frontend.job_feed import JobFeed
from sightline_frontend.models_api import ModelsApi
from sightline_frontend.views.convert import show_convert
from sightline_frontend.views.job_bars import show_jobs
from sightline_frontend.views.model_files import show_model_files, show_names
from sightline_frontend.views.model_table import show_files, show_models
from sightline_frontend.views.model_upload import show_upload
from sightline_frontend.views.promote import show_promote
from sightline_frontend.views.said import plain, show_said, words
from sightline_frontend.views.shadow import show_shadow
from sightline_frontend.views.status import wait_for_backend
from sightline_frontend.work_api import WorkApi

_TABS = ("Convert", "Put into service", "Shadow run", "Files", "Name and description")


def show(backend: Backend, feed: JobFeed) -> None:
    """Show the page."""
    st.title("Models")
    health = backend.health()
    if health is None:
        wait_for_backend(backend)
        return
    api, work = ModelsApi(backend), WorkApi(backend)
    try:
        names = [model.name for model in api.listed()]
        serving = api.serving()
    except BackendError as error:
        st.error(words(error), icon=":material/error:")
        return
    show_said("models")
    show_jobs(feed, work, ("convert",))
    show_models(api, names)
    show_upload(api, names, opened=not names)
    if not names:
        st.info("There is no model yet: add an ONNX file above.", icon=":material/deployed_code:")
        return
    _model(api, work, names, serving, triton=health.triton)


def _model(
    api: ModelsApi,
    work: WorkApi,
    names: Sequence[str],
    serving: Sequence[Served],
    *,
    triton: bool,
) -> None:
    """Show one model, and all that can be done with it."""
    wanted = st.session_state.pop("models-next", None) or st.session_state.get("models-chosen")
    st.session_state["models-chosen"] = wanted if wanted in names else names[0]
    st.subheader("One model")
    name = st.selectbox("Model", names, key="models-chosen")
    try:
        detail = api.detail(name)
    except BackendError as error:
        st.error(words(error), icon=":material/error:")
        return
    _about(detail)
    show_files(detail)
    if detail.artefacts and not any(one.runs_on for one in detail.artefacts):
        st.info(
            "A checkpoint can't detect: convert it to ONNX below, and the ONNX file serves.",
            icon=":material/transform:",
        )
    convert, service, shadow, files, called = st.tabs(_TABS, key="models-tabs")
    with convert:
        show_convert(api, work, detail)
    with service:
        served = next((one for one in serving if one.model == name), None)
        show_promote(api, detail, served, triton=triton)
    with shadow:
        show_shadow(api, detail)
    with files:
        show_model_files(api, detail)
    with called:
        show_names(api, detail)


def _about(detail: ModelDetail) -> None:
    """Say what it is, where it comes from and what it finds."""
    if detail.description:
        st.text(detail.description)
    newest = max(detail.versions, key=lambda version: version.number, default=None)
    if newest is None:
        return
    facts = [f"licence: {newest.licence}"]
    if newest.source:
        facts.append(f"source: {newest.source}")
    if newest.family:
        facts.append(f"family: {newest.family}")
    if newest.labels:
        shown = ", ".join(newest.labels[:5])
        more = f" and {len(newest.labels) - 5} more" if len(newest.labels) > 5 else ""
        facts.append(f"finds {shown}{more}")
    text = " · ".join(facts)
    st.caption(plain(text[0].upper() + text[1:]))
