"""The benchmark page: measure, compare, decide."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sightline_frontend.backend import Backend, BackendError
from sightline_frontend.job_feed import JobFeed
from sightline_frontend.measured import Run
from sightline_frontend.models_api import ModelsApi
from sightline_frontend.views.benchmark_form import show_form
from sightline_frontend.views.comparison import choose_runs, show_plots
from sightline_frontend.views.job_bars import show_jobs
from sightline_frontend.views.results import (
    show_classes,
    show_exports,
    show_recommendation,
    show_table,
)
from sightline_frontend.views.said import words
from sightline_frontend.views.status import wait_for_backend
from sightline_frontend.work_api import WorkApi

_KINDS = ("benchmark", "validate", "pipeline")


def show(backend: Backend, feed: JobFeed) -> None:
    """Show the page."""
    st.title("Benchmark")
    if backend.health() is None:
        wait_for_backend(backend)
        return
    api, work = ModelsApi(backend), WorkApi(backend)
    try:
        names = [model.name for model in api.listed()]
        runs = [run for run in work.runs() if run.results]
    except BackendError as error:
        st.error(words(error), icon=":material/error:")
        return
    show_jobs(feed, work, _KINDS)
    if not names:
        st.info("There is no model to measure: add one on the page Models.")
        return
    show_form(api, work, names, opened=not runs)
    if not runs:
        st.info(
            "Nothing is measured yet. Choose engines, precisions and batches above; with a data "
            "set, accuracy stands beside speed.",
            icon=":material/speed:",
        )
        return
    _results(work, runs)


def _results(work: WorkApi, runs: Sequence[Run]) -> None:
    st.subheader("Results")
    chosen = choose_runs(runs)
    if not chosen:
        st.info("Choose one run or several to see what they found.")
        return
    best = show_recommendation(work, chosen)
    show_table(chosen, best)
    show_exports(work, chosen)
    if any(run.done for run in chosen):
        show_plots(chosen, best)
        show_classes(chosen)
