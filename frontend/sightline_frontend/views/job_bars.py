"""Running jobs as bars that move, with their log, and buttons to end or repeat them."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Literal, TypeAlias

import streamlit as st

from sightline_frontend.backend import BackendError
from sightline_frontend.job import Job
from sightline_frontend.job_feed import JobFeed
from sightline_frontend.views.said import act, forget_said, plain, show_said, words
from sightline_frontend.work_api import WorkApi

EVERY_S = 1.0
_EARLIER = 8  # ended jobs that are listed
_LOG_LINES = 200

Colour: TypeAlias = Literal["red", "orange", "blue", "green", "gray"]
_STATES: dict[str, tuple[str, str, Colour]] = {
    "queued": ("Waiting", ":material/hourglass_empty:", "gray"),
    "running": ("Running", ":material/play_arrow:", "blue"),
    "done": ("Done", ":material/check_circle:", "green"),
    "failed": ("Failed", ":material/error:", "red"),
    "cancelled": ("Cancelled", ":material/cancel:", "gray"),
    "interrupted": ("Interrupted", ":material/power_off:", "orange"),
}


@st.fragment(run_every=EVERY_S)
def show_jobs(feed: JobFeed, work: WorkApi, kinds: Collection[str]) -> None:
    """Show the jobs of these kinds; the page is drawn again when one of them has ended."""
    jobs = [job for job in feed.jobs() if job.kind in kinds]
    with st.container(key="jobs"):  # always there: what comes and goes in it moves nothing else
        show_said("jobs")
        active = [job for job in jobs if not job.ended]
        for job in reversed(active):  # the one that runs is above those that wait
            with st.container(border=True, gap="small", key=f"job-{job.id}"):
                _active(feed, work, job)
        _earlier(feed, work, [job for job in jobs if job.ended])
    _draw_page_again(jobs)  # last: a button that was pressed just now has been heeded


def _draw_page_again(jobs: list[Job]) -> None:
    """Run the whole page once more if a job has ended since: its tables have new rows."""
    ended = frozenset((job.id, job.state) for job in jobs if job.ended)
    before = st.session_state.get("jobs-ended")
    st.session_state["jobs-ended"] = ended
    if before is not None and ended - before:
        for place in ("run", "convert"):
            forget_said(place)  # that it has started
        st.rerun()


def _active(feed: JobFeed, work: WorkApi, job: Job) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _badge(job.state)
        st.text(job.title, width="stretch")
        if st.button("Cancel", key=f"cancel-{job.id}", icon=":material/stop_circle:"):
            act("jobs", lambda: _cancelled(work, job))
            st.rerun()
    if job.state == "queued":
        return  # waits in line: there is nothing to see of it yet
    st.progress(job.progress, _share(job))
    if done := [child for child in job.children if child.state == "done"]:
        st.caption("  \n".join(f":green[:material/check:] {plain(one.title)}" for one in done))
    for child in job.children:
        if child.state != "done":
            _child(work, child)
    _log(work, job)


def _child(work: WorkApi, job: Job) -> None:
    """Show one step of a pipeline, and what is below it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _badge(job.state)
        st.caption(plain(job.title), width="stretch")
    if job.state == "running":
        st.progress(job.progress, _share(job))
    if job.error:
        st.caption(f":red[{plain(job.error)}]")
        _log(work, job)
    for below in job.children:
        _child(work, below)


def _earlier(feed: JobFeed, work: WorkApi, ended: list[Job]) -> None:
    if not ended:
        return
    failed = ended[0].state in ("failed", "interrupted")
    with st.expander(f"Earlier jobs ({len(ended)})", expanded=failed, icon=":material/history:"):
        for job in ended[:_EARLIER]:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                _badge(job.state)
                st.text(job.title, width="stretch")
                if job.state != "done" and st.button(
                    "Restart", key=f"restart-{job.id}", icon=":material/restart_alt:"
                ):
                    act("jobs", partial(_restarted, work, job))
                    st.rerun()
                if st.button("Remove", key=f"remove-{job.id}", icon=":material/close:"):
                    act("jobs", partial(_removed, feed, work, job))
                    st.rerun()
            if job.error:
                st.error(job.error, icon=":material/error:")
            elif job.state == "interrupted":
                st.caption("The detector stopped while this ran. Restart does it again.")
            _log(work, job)


def _log(work: WorkApi, job: Job) -> None:
    if not st.toggle("Log", key=f"log-{job.id}"):
        return
    try:
        lines = work.log(job.id).splitlines()[-_LOG_LINES:]
    except BackendError as error:
        st.caption(words(error))
        return
    st.code("\n".join(lines) or "Nothing is logged yet.", language=None, height=200)


def _badge(state: str) -> None:
    word, icon, colour = _STATES.get(state, (state, ":material/help:", "gray"))
    st.badge(word, icon=icon, color=colour)


def _share(job: Job) -> str:
    doing = plain(job.doing)
    return f"{job.progress:.0%} · {doing}" if doing else f"{job.progress:.0%}"


def _cancelled(work: WorkApi, job: Job) -> str:
    work.cancel(job.id)
    return f"“{plain(job.title)}” is being cancelled."


def _restarted(work: WorkApi, job: Job) -> str:
    work.restart(job.id)
    return f"“{plain(job.title)}” is done again."


def _removed(feed: JobFeed, work: WorkApi, job: Job) -> str:
    work.remove(job.id)
    feed.forget(job.id)
    return f"“{plain(job.title)}” is removed from the list."
