"""Another format or precision of a model, made by jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from sightline_frontend.backend import BackendError
from sightline_frontend.catalogue import FORMATS, Artefact, Conversion, ModelDetail
from sightline_frontend.measured import Dataset
from sightline_frontend.models_api import ModelsApi
from sightline_frontend.views.artefact_choice import choose_artefact
from sightline_frontend.views.said import act, plain, show_said, words
from sightline_frontend.work_api import WorkApi

_TARGETS = ("openvino", "onnx", "tensorrt")
_PRECISIONS = ("fp32", "fp16", "int8")
SHIPPED = "Pictures that come with Sightline"


def show_convert(api: ModelsApi, work: WorkApi, detail: ModelDetail) -> None:
    """Show what can be made of a model, and make it."""
    show_said("convert")
    try:
        possible, datasets = api.conversions(), work.datasets()
    except BackendError as error:
        st.error(words(error), icon=":material/error:")
        return
    sources = [one for one in detail.artefacts if one.format in ("onnx", "pt")]
    if not sources:
        st.info("There is no ONNX or .pt file to convert. Add one as a new version.")
        return
    source = choose_artefact("Made from", sources, f"convert-from-{detail.name}")
    wanted = _targets(detail, source, possible)
    more = _options(detail, source, datasets, wanted)
    labels = ["Convert", f"Convert into {len(wanted)} files"]
    if st.button(
        labels[len(wanted) > 1], type="primary", icon=":material/transform:",
        disabled=not wanted, key="convert-start",
        help=None if wanted else "Tick what is to be made first.",
    ):  # fmt: skip
        act("convert", lambda: _start(work, detail, source, wanted, more))
        st.rerun()


def _targets(
    detail: ModelDetail, source: Artefact, possible: Sequence[Conversion]
) -> list[tuple[str, str]]:
    """Ask for formats and precisions; what can't be made is greyed, and says why."""
    run = st.session_state.setdefault("convert-run", 0)  # a new number empties the boxes
    reasons = {(one.format, one.precision): one.why_not for one in possible}
    there = {
        (one.format, one.precision) for one in detail.artefacts if one.version == source.version
    }
    wanted: list[tuple[str, str]] = []
    for column, form in zip(st.columns(len(_TARGETS), gap="medium"), _TARGETS, strict=True):
        with column, st.container(border=True, gap="small", height="stretch"):
            st.markdown(f"**{FORMATS[form]}**")
            for precision in _PRECISIONS:
                why_not = reasons.get((form, precision), "The detector doesn't offer it.")
                note = " (there is one)" if (form, precision) in there else ""
                if form == source.format and precision == source.precision:
                    why_not, note = "It is what the others are made from.", " (the source)"
                if st.checkbox(
                    f"{precision.upper()}{note}", disabled=why_not is not None, help=why_not,
                    key=f"convert-{detail.name}-{run}-{form}-{precision}",
                ) and why_not is None:  # fmt: skip
                    wanted.append((form, precision))
            for why_not in _common(form, reasons):
                st.caption(plain(why_not[0].upper() + why_not[1:]))
    return wanted


def _common(form: str, reasons: Mapping[tuple[str, str], str | None]) -> list[str]:
    """Return the reasons for what can't be made of a format, each once."""
    told = (reasons.get((form, precision)) for precision in _PRECISIONS)
    return list(dict.fromkeys(reason for reason in told if reason))


def _options(
    detail: ModelDetail,
    source: Artefact,
    datasets: Sequence[Dataset],
    wanted: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Ask for pictures, input size, and what only some conversions need."""
    more: dict[str, Any] = {}
    name = detail.name
    left, middle, right = st.columns(3, gap="medium", vertical_alignment="bottom")
    with left:
        names = {one.name: one.words for one in datasets if one.usable}
        chosen = st.selectbox(
            "Pictures for INT8 and for the comparison", [SHIPPED, *names],
            format_func=lambda one: names.get(one, one), key=f"convert-data-{name}",
            help="INT8 looks at pictures to find its ranges: take some of what your cameras see.",
        )  # fmt: skip
        more["dataset"] = None if chosen == SHIPPED else chosen
    version = detail.version(source.version)
    size = (version.input_size_wh if version else None) or (640, 640)
    with middle:
        other = st.toggle("Another input size", key=f"convert-other-{name}")
    if other:
        with middle:
            width = st.number_input("Width", 32, 4096, size[0], 32, key=f"convert-width-{name}")
        with right:
            height = st.number_input("Height", 32, 4096, size[1], 32, key=f"convert-height-{name}")
        more["input_size_wh"] = [int(width), int(height)]
    if any(form == "tensorrt" for form, _ in wanted):
        with right:
            more["max_batch"] = int(
                st.number_input("Largest batch of the plan", 1, 128, 8, key=f"convert-batch-{name}")
            )
    if source.format == "pt":
        labels = st.text_input(
            "Class names, if the file has none", key=f"convert-labels-{name}",
            placeholder="person, bicycle, car",
        )  # fmt: skip
        more["labels"] = [one.strip() for one in labels.split(",") if one.strip()] or None
    return more


def _start(
    work: WorkApi,
    detail: ModelDetail,
    source: Artefact,
    wanted: Sequence[tuple[str, str]],
    more: Mapping[str, Any],
) -> str:
    for form, precision in wanted:
        request = {
            "model": detail.name,
            "artefact_id": source.id,
            "format": form,
            "precision": precision,
            **more,
        }
        work.start("convert", request)
    st.session_state["convert-run"] += 1
    many = len(wanted) > 1
    return (
        f"{len(wanted) if many else 'The'} conversion{'s have' if many else ' has'} started; "
        "see the bars at the top of the page."
    )
