"""A model file from the visitor's disk, as a new model or a new version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from sightline_frontend.models_api import Described, ModelsApi
from sightline_frontend.views.said import act, plain, show_said

MOST_MB = 1024
_NEW, _VERSION = "A new model", "A new version"


def show_upload(api: ModelsApi, names: Sequence[str], *, opened: bool) -> None:
    """Show the form; it is open where there is nothing else to do."""
    with st.expander("Add a model", icon=":material/upload:", expanded=opened, key="add-model"):
        show_said("upload")
        run = st.session_state.setdefault("upload-run", 0)  # a new number empties the form
        file = st.file_uploader(
            "Model file", ["onnx", "pt", "pth"], key=f"upload-file-{run}",
            max_upload_size=MOST_MB,
            help="ONNX is checked and taken as it is. A .pt file is a program: the detector "
            "refuses it unless it was started with SIGHTLINE_ALLOW_PICKLE.",
        )  # fmt: skip
        if file is None:
            st.caption(
                "Choose an .onnx file of a detector: YOLOX, YOLOv5, YOLOv8 or newer, or one with "
                "boxes, scores and classes at its end."
            )
            return
        about = _about(file, names, run)
        if st.button("Upload", type="primary", icon=":material/upload:", key="upload-send"):
            _send(api, file, about)


def _about(file: UploadedFile, names: Sequence[str], run: int) -> Described:
    """Ask what it is to be called, and what is known of it."""
    left, right = st.columns(2, gap="medium")
    with left:
        kinds = [_NEW, _VERSION] if names else [_NEW]
        kind = st.segmented_control("Add as", kinds, default=_NEW, required=True,
                                    key=f"upload-kind-{run}")  # fmt: skip
        name = model = None
        if kind == _VERSION:
            model = st.selectbox("Version of", list(names), key=f"upload-model-{run}")
        else:
            name = st.text_input("Name", _name_of(file.name), key=f"upload-name-{run}")
        licence = st.text_input("Licence", key=f"upload-licence-{run}", placeholder="unknown")
    with right:
        source = st.text_input(
            "Where it comes from", key=f"upload-source-{run}", placeholder="an address, a training"
        )
        text = st.text_input("Description", key=f"upload-text-{run}")
        sidecar = st.file_uploader(
            "Sidecar (JSON), if its output isn't recognised", ["json"], key=f"upload-sidecar-{run}",
            max_upload_size=1,
        )  # fmt: skip
    return Described(
        filename=file.name,
        name=name,
        model=model,
        licence=licence,
        source=source,
        description=text,
        sidecar=None if sidecar is None else sidecar.getvalue().decode("utf-8", "replace"),
    )


def _send(api: ModelsApi, file: UploadedFile, about: Described) -> None:
    bar = st.progress(0.0, "Sending")

    def progress(share: float) -> None:
        bar.progress(share, "Sending" if share < 1 else "The detector checks it")

    def send() -> str:
        made = api.upload(file, file.size, about, progress)
        newest = max((version.number for version in made.versions), default=1)
        st.session_state["models-next"] = made.name
        return f"{plain(file.name)} is here as {plain(made.name)}, version {newest}."

    if act("upload", send):
        st.session_state["upload-run"] += 1
    st.rerun()


def _name_of(filename: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", PurePath(filename).stem).strip("-.") or "model"
