"""The deploy page: Triton, what is deployed to it, and how it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from sightline_frontend.backend import Backend, BackendError
from sightline_frontend.catalogue import Served
from sightline_frontend.deployed import TritonStatus
from sightline_frontend.models_api import ModelsApi
from sightline_frontend.triton_api import TritonApi
from sightline_frontend.views.deploy_cards import show_cards
from sightline_frontend.views.deploy_figures import TWO_BY_TWO
from sightline_frontend.views.deploy_form import show_form
from sightline_frontend.views.deploy_server import show_gpus, show_not_configured, show_server
from sightline_frontend.views.deploy_tables import show_load, show_tables
from sightline_frontend.views.said import show_said, words
from sightline_frontend.views.status import wait_for_backend

EVERY_S = 2.0
_SEEN = "deploy-seen"  # the newest answer, for the lower part of the page


@dataclass(frozen=True, slots=True)
class Shape:
    """What the page's forms and buttons depend on: drawn anew when it changes."""

    configured: bool
    live: bool
    can_deploy: bool
    deployments: tuple[tuple[str, int, bool, bool], ...]
    models: tuple[str, ...]
    live_video: tuple[str, ...]  # the stored models whose streams go through Triton

    @classmethod
    def of(cls, seen: TritonStatus, serving: Sequence[Served]) -> Shape:
        """Return the shape of an answer."""
        return cls(
            seen.configured,
            seen.live,
            seen.can_deploy,
            tuple((one.model, one.number, one.active, one.loaded) for one in seen.deployments),
            tuple(one.name for one in seen.models),
            tuple(sorted(one.model for one in serving if one.engine == "triton")),
        )


def show(backend: Backend) -> None:
    """Show the page."""
    st.title("Deploy")
    if backend.health() is None:
        wait_for_backend(backend)
        return
    api, models = TritonApi(backend), ModelsApi(backend)
    try:
        seen, serving = api.status(), models.serving()
    except BackendError as error:
        st.error(words(error), icon=":material/error:")
        return
    show_said("deploy")
    shape = Shape.of(seen, serving)
    _watch(api, models, shape)
    if not seen.configured:
        return
    show_form(api, models, seen)
    if seen.models or seen.deployments:
        _watch_tables(seen)
    if seen.live and seen.models:
        show_load(api, seen, shape.live_video)


@st.fragment(run_every=EVERY_S)
def _watch(api: TritonApi, models: ModelsApi, shape: Shape) -> None:
    """Show how Triton is and what is deployed, again and again."""
    try:
        seen, serving = api.status(), models.serving()
    except BackendError as error:
        if api.backend.health() is None:
            st.rerun()  # the page waits for the detector
        st.error(words(error), icon=":material/cloud_off:")
        return
    if Shape.of(seen, serving) != shape:
        st.rerun()
    st.session_state[_SEEN] = seen
    if not seen.configured:
        show_not_configured(seen)
        return
    st.html(TWO_BY_TWO)
    show_server(seen)
    show_gpus(seen)
    show_cards(api, models, seen, serving)


@st.fragment(run_every=EVERY_S)
def _watch_tables(first: TritonStatus) -> None:
    """Show the tables, again and again, from what the upper part has read."""
    show_tables(st.session_state.get(_SEEN, first))
