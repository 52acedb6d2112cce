"""What is to be measured: the matrix, the data set, the limits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from sightline_frontend.backend import BackendError
from sightline_frontend.catalogue import ENGINES, Conversion, ModelDetail
from sightline_frontend.measured import Dataset
from sightline_frontend.models_api import ModelsApi
from sightline_frontend.views.said import act, plain, show_said, words
from sightline_frontend.work_api import Kind, WorkApi

NO_DATASET = "None: speed alone"
MOST_MB = 4096
_BATCHES = (1, 2, 4, 8, 16, 32)
_SIZE = re.compile(r"(\d+)\s*[x\u00d7]\s*(\d+)")
_WAYS: dict[str, tuple[str, str, str]] = {
    "benchmark": (
        "Measure what there is",
        ":material/timer:",
        "Measures the files that the model has now.",
    ),
    "pipeline": (
        "Convert and test",
        ":material/account_tree:",
        "Converts what is missing, measures everything, and recommends a configuration.",
    ),
}
_SERVING = 0  # stands for the version that serves


def show_form(api: ModelsApi, work: WorkApi, names: Sequence[str], *, opened: bool) -> None:
    """Show the form, and start what is asked for."""
    with st.expander("New run", icon=":material/speed:", expanded=opened, key="new-run"):
        show_said("run")
        model = st.selectbox("Model", names, key="run-model")
        try:
            detail, datasets, possible = api.detail(model), work.datasets(), api.conversions()
        except BackendError as error:
            st.error(words(error), icon=":material/error:")
            return
        asked = _matrix(detail, _engines(possible)) | _pictures(work, datasets)
        sizes = _input_sizes()
        wanted = _limits()
        measured, made = st.columns(2, gap="medium")
        with measured:
            runs = any(one.runs_on for one in detail.artefacts)
            _start(work, "benchmark", asked | {"input_sizes": sizes}, runs=runs)
        with made:
            _start(work, "pipeline", asked | wanted)


def _engines(possible: Sequence[Conversion]) -> list[str]:
    """Return the engines of this machine: TensorRT where a plan can be made for it."""
    tensorrt = any(one.format == "tensorrt" and one.why_not is None for one in possible)
    names = [name for name in ENGINES if name != "triton"]  # a server: `sightline triton bench`
    return [name for name in names if name != "tensorrt" or tensorrt]


def _matrix(detail: ModelDetail, names: Sequence[str]) -> dict[str, Any]:
    """Ask for the engines, of those with these names, the precisions and the batches."""
    left, right = st.columns(2, gap="medium")
    with left:
        numbers = sorted((version.number for version in detail.versions), reverse=True)
        version = st.selectbox(
            "Version", [_SERVING, *numbers] if detail.active else numbers,
            key=f"run-version-{detail.name}",
            format_func=lambda one: "The one that serves" if one == _SERVING else f"Version {one}",
        )  # fmt: skip
        engines = st.pills(
            "Engines", names, selection_mode="multi", default=["openvino", "onnxruntime"],
            format_func=lambda one: ENGINES[one], key="run-engines",
        )  # fmt: skip
        precisions = st.pills(
            "Precisions", ["fp32", "fp16", "int8"], selection_mode="multi",
            default=["fp32"], key="run-precisions",
        )  # fmt: skip
    with right:
        batches = st.pills(
            "Batches", list(_BATCHES), selection_mode="multi", default=[1], key="run-batches",
            help="Pictures an engine call",
        )  # fmt: skip
        instances = st.pills(
            "Instances", [1, 2, 4], selection_mode="multi", default=[1], key="run-instances",
            help="Engines side by side",
        )  # fmt: skip
        seconds = st.slider("Time of each cell, s", 1, 60, 5, key="run-seconds")
    return {
        "model": detail.name,
        "version": version or None,
        "engines": engines,
        "precisions": precisions,
        "batches": batches,
        "instances": instances,
        "seconds": float(seconds),
    }


def _pictures(work: WorkApi, datasets: Sequence[Dataset]) -> dict[str, Any]:
    """Ask for the data set that accuracy is measured on, or take a new one."""
    left, right = st.columns(2, gap="medium")
    with left:
        names = {one.name: one.words for one in datasets if one.usable}
        if names and "run-data" not in st.session_state:
            st.session_state["run-data"] = next(iter(names))
        if (new := st.session_state.pop("data-next", None)) in names:
            st.session_state["run-data"] = new
        chosen = st.selectbox(
            "Data set", [NO_DATASET, *names], key="run-data",
            format_func=lambda one: names.get(one, one),
            help="Labelled pictures, for accuracy: COCO JSON or YOLO folders",
        )  # fmt: skip
        for one in datasets:
            if not one.usable:
                st.caption(f"{plain(one.name)} can't be used: {plain(str(one.about['problem']))}")
        with st.popover("Add a data set", icon=":material/upload:", key="add-data"):
            _upload(work)
    with right:
        most = st.number_input(
            "Pictures at most", 1, 1_000_000, None, placeholder="all", key="run-most",
            disabled=chosen == NO_DATASET,
        )  # fmt: skip
    if chosen == NO_DATASET:
        return {"dataset": None}
    return {"dataset": chosen, "most_pictures": most}


def _upload(work: WorkApi) -> None:
    show_said("data")
    run = st.session_state.setdefault("data-run", 0)
    file = st.file_uploader(
        "A zip with pictures and labels", ["zip"], key=f"data-file-{run}", max_upload_size=MOST_MB
    )
    if file is None:
        st.caption(
            "COCO: the pictures and an instances.json. YOLO: folders `images` and `labels` with a "
            "data.yaml."
        )
        return
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", file.name.rsplit(".", 1)[0]).strip("-.") or "pictures"
    name = st.text_input("Name", stem, key=f"data-name-{run}")
    if st.button("Upload the data set", type="primary", key="data-send"):
        bar = st.progress(0.0, "Sending")

        def progress(share: float) -> None:
            bar.progress(share, "Sending" if share < 1 else "The detector checks it")

        def send() -> str:
            work.upload_dataset(
                name.strip(), file, file.size,
                progress,
            )  # fmt: skip
            st.session_state["data-next"] = name.strip()
            return f"The data set {plain(name.strip())} is here."

        if act("data", send):
            st.session_state["data-run"] += 1
        st.rerun()


def _limits() -> dict[str, float]:
    """Ask what a recommended configuration must hold; also used for earlier runs."""
    left, middle, right = st.columns(3, gap="medium")
    with left:
        latency = st.number_input("Latency limit, ms", 1.0, 60_000.0, 100.0, 10.0, key="limit-ms")
    with middle:
        loss = st.number_input(
            "Largest loss of mAP50-95", 0.0, 1.0, 0.01, 0.005, format="%.3f", key="limit-loss"
        )
    with right:
        fps = st.number_input("Frames a camera sends, /s", 1.0, 240.0, 15.0, 1.0, key="limit-fps")
    return {"latency_limit_ms": latency, "max_accuracy_loss": loss, "camera_fps": fps}


def limits() -> dict[str, float]:
    """Return the limits as they were last typed."""
    state = st.session_state
    return {
        "latency_limit_ms": float(state.get("limit-ms", 100.0)),
        "max_loss": float(state.get("limit-loss", 0.01)),
        "camera_fps": float(state.get("limit-fps", 15.0)),
    }


def _input_sizes() -> list[list[int]]:
    text = st.text_input(
        "Input sizes", key="run-sizes", placeholder="the model's own; or 320x320, 640x640"
    )
    return [[int(width), int(height)] for width, height in _SIZE.findall(text)]


def _start(work: WorkApi, kind: Kind, asked: Mapping[str, Any], *, runs: bool = True) -> None:
    """Show a button that starts a job; greyed while the matrix is empty, or nothing `runs`."""
    names = ("engines", "precisions", "batches", "instances")
    refused = [f"Choose {name} first." for name in names if not asked[name]]
    if not runs:
        refused.insert(0, "A checkpoint can't be measured: convert it first.")
    cells = max(1, len(asked.get("input_sizes", ())))
    for name in names:
        cells *= len(asked[name])
    label, icon, what = _WAYS[kind]
    if st.button(
        label, icon=icon, type="primary" if kind == "pipeline" else "secondary",
        disabled=bool(refused), key=f"start-{kind}", help=refused[0] if refused else None,
    ):  # fmt: skip

        def start() -> str:
            work.start(kind, asked)
            return "It has started: the bars are at the top of the page."

        act("run", start)
        st.rerun()
    takes = ["conversions"] * (kind == "pipeline") + ["accuracy"] * bool(asked["dataset"])
    beside = f", plus the time for {' and '.join(takes)}" if takes else ""
    about = f" About {_duration(cells * (asked['seconds'] * 2 + 4))}{beside}." if cells else ""
    several = "s" if cells != 1 else ""
    st.caption(f"{what} {cells} cell{several} at most.{about}")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"
