"""The upload page: pictures, a clip, a snapshot."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from sightline_engines import wire
from sightline_engines.draw import draw_detections
from sightline_engines.errors import SightlineError
from sightline_engines.picture import PictureLimits, decode_picture
from sightline_engines.types import Image, Result
from sightline_frontend.backend import Backend
from sightline_frontend.clip_run import ClipJob, ClipRun, run_clip
from sightline_frontend.controls import Choice, choose
from sightline_frontend.findings import Finding, rows, summary, to_csv, to_json
from sightline_frontend.views.status import show_fallback, wait_for_backend

_PICTURES = ["jpg", "jpeg", "png", "webp", "bmp"]
_CLIPS = ["mp4", "mov", "mkv", "webm", "avi", "m4v"]


def show(backend: Backend) -> None:
    """Show the page."""
    st.title("Upload")
    health, models = backend.health(), backend.models()
    content, controls = st.columns([3, 1], gap="medium")
    with controls:
        choice = choose(models, "upload")
    with content:
        if health is None:
            wait_for_backend(backend)
            return
        show_fallback(health)
        pictures, clip, snapshot = st.tabs(["Pictures", "Clip", "Snapshot"])
        with pictures:
            _pictures(backend, choice)
        with clip:
            _clip(backend, choice)
        with snapshot:
            _snapshot(backend, choice)


def _pictures(backend: Backend, choice: Choice) -> None:
    files = st.file_uploader("Pictures", _PICTURES, accept_multiple_files=True)
    if not files:
        return
    findings: list[Finding] = []
    with st.spinner("Detecting"):
        columns = st.columns(2 if len(files) > 1 else 1)
        for index, file in enumerate(files):
            with columns[index % len(columns)]:
                finding = _picture(backend, choice, file)
            if finding is not None:
                findings.append(finding)
    _results(findings, "pictures")


def _snapshot(backend: Backend, choice: Choice) -> None:
    if not st.toggle("Use the camera"):  # else the browser would ask for it on every visit
        return
    file = st.camera_input("Take a picture", label_visibility="collapsed")
    if file is not None:
        finding = _picture(backend, choice, file)
        _results([] if finding is None else [finding], "snapshot")


def _picture(backend: Backend, choice: Choice, file: UploadedFile) -> Finding | None:
    """Show one picture with its boxes, or what is wrong with it."""
    try:
        finding, image = _detected(backend, choice, file)
    except SightlineError as error:
        st.error(f"**{file.name}**: {error.message}", icon=":material/broken_image:")
        return None
    draw_detections(image, finding.detections, finding.labels)
    st.image(image, channels="BGR", caption=f"{file.name}: {summary([finding])}", width="stretch")
    return finding


def _detected(backend: Backend, choice: Choice, file: UploadedFile) -> tuple[Finding, Image]:
    data = file.getvalue()
    result = _detect_once(backend, choice.settings, file.file_id, data)
    image = decode_picture(data, PictureLimits())
    finding = Finding(file.name, result.size_wh, result.detections, choice.labels, result.model)
    return finding, image


@st.cache_data(max_entries=64, show_spinner=False)
def _detect_once(_backend: Backend, settings: wire.Settings, file_id: str, _data: bytes) -> Result:
    return _backend.detect(_data, settings)


def _clip(backend: Backend, choice: Choice) -> None:
    file = st.file_uploader("Clip", _CLIPS)
    if file is None:
        return
    asked = (file.file_id, choice.settings)
    done = st.session_state.get("upload-clip")
    if st.button("Detect in this clip", type="primary", icon=":material/play_arrow:"):
        done = st.session_state["upload-clip"] = None
        try:
            done = st.session_state["upload-clip"] = (asked, *_run(backend, choice, file))
        except SightlineError as error:
            st.error(f"**{file.name}**: {error.message}", icon=":material/error:")
    if done is None:
        return
    done_for, run, clip = done
    if done_for != asked:
        st.info("The choice has changed since; press the button to detect again.")
    if run.broken:
        st.warning(f"**{file.name}**: {run.broken}", icon=":material/content_cut:")
    st.video(clip, format="video/mp4")
    st.download_button(
        "Annotated clip (MP4)", clip, f"{Path(file.name).stem}-boxes.mp4", "video/mp4",
        on_click="ignore", icon=":material/download:", key="download-mp4",
    )  # fmt: skip
    _results(run.findings, "clip")


def _run(backend: Backend, choice: Choice, file: UploadedFile) -> tuple[ClipRun, bytes]:
    bar = st.progress(0.0, "Reading the clip")

    def progress(done: int, total: int | None) -> None:
        share = min(1.0, done / total) if total else 0.0
        bar.progress(share, f"{done} of {total or 'an unknown number of'} pictures")

    with tempfile.TemporaryDirectory(prefix="sightline-") as folder:
        source = Path(folder, "clip" + Path(file.name).suffix.lower())
        target = Path(folder, "boxes.mp4")
        source.write_bytes(file.getbuffer())
        job = ClipJob(file.name, source, target, choice.settings, choice.labels)
        run = run_clip(job, backend, progress)
        bar.empty()
        return run, target.read_bytes()


def _results(findings: list[Finding], name: str) -> None:
    """Show all findings as a table, and offer them as files."""
    if not findings:
        return
    st.subheader("Found")
    st.markdown(summary(findings))
    st.dataframe(rows(findings), hide_index=True)
    with st.container(horizontal=True):
        st.download_button(
            "Findings (JSON)", to_json(findings), f"{name}.json", "application/json",
            on_click="ignore", icon=":material/download:", key=f"download-{name}-json",
        )  # fmt: skip
        st.download_button(
            "Findings (CSV)", to_csv(findings), f"{name}.csv", "text/csv",
            on_click="ignore", icon=":material/download:", key=f"download-{name}-csv",
        )  # fmt: skip
