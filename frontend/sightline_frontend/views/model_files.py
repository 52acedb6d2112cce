"""A model's files: download, delete; and its name and description."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from sightline_frontend.catalogue import Artefact, ModelDetail
from sightline_frontend.models_api import ModelsApi
from sightline_frontend.views.artefact_choice import choose_artefact
from sightline_frontend.views.said import act, plain, show_said

_SUFFIXES = {"openvino": "zip", "tensorrt": "plan"}


def show_model_files(api: ModelsApi, detail: ModelDetail) -> None:
    """Offer each file for download, and to delete it, its version or the whole model."""
    show_said("files")
    name = detail.name
    if detail.artefacts:
        artefact = choose_artefact("File", detail.artefacts, f"files-{name}", numbered=True)
        with st.container(horizontal=True):
            _one_file(api, detail, artefact)
        st.caption(f"SHA-256 {artefact.sha256}")
    else:
        st.info("There is no file. Delete the model, or add a version to it.")
    _delete("Delete the model", f"{name} and all its files are deleted.", "model",
            partial(api.remove, name))  # fmt: skip


def _one_file(api: ModelsApi, detail: ModelDetail, artefact: Artefact) -> None:
    """Show the buttons of one file and its version."""
    number = artefact.version
    st.download_button(
        "Download", partial(api.file, artefact.id), _filename(detail, artefact),
        "application/octet-stream", on_click="ignore", icon=":material/download:",
        key="files-download",
    )  # fmt: skip
    _delete("Delete this file", f"{artefact.title} is deleted.", "artefact",
            partial(api.remove_artefact, artefact.id))  # fmt: skip
    _delete(f"Delete version {number}", f"Version {number} and all its files are deleted.",
            "version", partial(api.remove_version, detail.name, number))  # fmt: skip


def _delete(label: str, outcome: str, what: str, remove: Callable[[], None]) -> None:
    """Show a button that asks once more."""
    with st.popover(label, icon=":material/delete:", key=f"ask-{what}"):
        st.markdown(f"{plain(outcome)} This can't be undone.")
        if st.button(f"Yes, {label[0].lower()}{label[1:]}", type="primary", key=f"delete-{what}"):

            def done() -> str:
                remove()
                return plain(outcome)

            act("models" if what == "model" else "files", done)
            st.rerun()


def show_names(api: ModelsApi, detail: ModelDetail) -> None:
    """Let a model be renamed and described."""
    show_said("names")
    with st.form("names", border=False):
        name = st.text_input("Name", detail.name, key=f"rename-{detail.name}")
        text = st.text_area("Description", detail.description, key=f"describe-{detail.name}")
        sent = st.form_submit_button("Save", icon=":material/save:")
    if sent:

        def save() -> str:
            new = {"name": name.strip()} if name.strip() != detail.name else {}
            more = {"description": text} if text != detail.description else {}
            if not new and not more:
                return "Nothing has changed."
            api.change(detail.name, new | more)
            st.session_state["models-next"] = name.strip()
            return "Saved."

        act("names", save)
        st.rerun()


def _filename(detail: ModelDetail, artefact: Artefact) -> str:
    suffix = _SUFFIXES.get(artefact.format, artefact.format)
    return f"{detail.name}-v{artefact.version}-{artefact.precision}.{suffix}"
