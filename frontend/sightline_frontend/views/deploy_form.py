"""The form that deploys a stored model to Triton."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from sightline_frontend.backend import BackendError
from sightline_frontend.catalogue import Artefact, ModelDetail
from sightline_frontend.deployed import PLATFORMS, Deployment, TritonStatus
from sightline_frontend.models_api import ModelsApi
from sightline_frontend.triton_api import Order, TritonApi
from sightline_frontend.views.artefact_choice import choose_artefact
from sightline_frontend.views.said import act, plain, show_said, words

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
_AS_CHOSEN, _PROCESSOR = "As Triton chooses", "Processor"
_ACCELERATORS = {"": "None", "tensorrt": "TensorRT (NVIDIA GPU)", "openvino": "OpenVINO (Intel)"}


def show_form(api: TritonApi, models: ModelsApi, seen: TritonStatus) -> None:
    """Ask which model is to be deployed and how, and deploy it."""
    show_said("deploy-form")
    if not seen.live or not seen.can_deploy:
        return  # the first lines of the page say why
    with st.expander(
        "Deploy a model", icon=":material/rocket_launch:", expanded=not seen.active,
        key="deploy-form",
    ):  # fmt: skip
        left, right = st.columns(2, gap="medium")
        try:
            names = [one.name for one in models.listed()]
            with left:
                name = st.selectbox("Model", names, key="deploy-model") if names else None
            detail = None if name is None else models.detail(name)
        except BackendError as error:
            st.error(words(error), icon=":material/error:")
            return
        if detail is None:
            st.info("There is no model yet: add one on the page Models.")
            return
        files = [one for one in detail.artefacts if one.platform]
        if not files:
            st.info(
                "Triton takes ONNX files and TensorRT plans: convert this one on the page Models."
            )
            return
        with right:
            artefact = choose_artefact("File", files, f"deploy-file-{detail.name}")
        _one_file(api, seen, detail, artefact)


def _one_file(api: TritonApi, seen: TritonStatus, detail: ModelDetail, artefact: Artefact) -> None:
    now = next((one for one in seen.active if one.model == detail.name), None)
    st.caption(f"It runs on {PLATFORMS[artefact.platform]} at Triton.")
    max_batch, config = _settings(detail.name, now)
    with st.expander("More", icon=":material/tune:", key=f"deploy-more-{detail.name}"):
        config |= _more(detail.name, artefact, seen, {} if now is None else now.config)
        force, reason = (False, "") if now is None else _gate(detail.name)
    config = {"platform": artefact.platform, **config}
    order = Order(detail.name, artefact.id, max_batch, config, force, reason)
    if st.button("Deploy", type="primary", icon=":material/rocket_launch:", key="deploy-start"):
        with st.spinner("It is written, loaded and tried; what serves now serves until it answers"):
            act("deploy-form", lambda: _deploy(api, order))
        st.rerun()


def _settings(name: str, now: Deployment | None) -> tuple[int, dict[str, Any]]:
    """Ask for what matters most; what serves now is the proposal."""
    used: Mapping[str, Any] = {} if now is None else now.config
    instances, batch, preferred, delay = st.columns(4, gap="medium", vertical_alignment="bottom")
    with instances:
        count = st.number_input(
            "Instances", 1, 64, int(used.get("instance_count") or 1), key=f"deploy-count-{name}",
            help="Copies of the model that work side by side, on each GPU.",
        )  # fmt: skip
    with batch:
        start = 8 if now is None else now.max_batch
        max_batch = st.selectbox(
            "Largest batch", sorted({*_BATCHES, start}), key=f"deploy-batch-{name}",
            index=sorted({*_BATCHES, start}).index(start),
            help="Most pictures that Triton runs at once.",
        )  # fmt: skip
    with preferred:
        sizes = [size for size in sorted({*_BATCHES, max_batch}) if 1 < size <= max_batch]
        wanted = [one for one in used.get("preferred_batch_sizes") or () if one in sizes]
        chosen = st.multiselect(
            "Preferred batches", sizes, wanted, key=f"deploy-preferred-{name}-{max_batch}",
            placeholder="any", help="Sizes that Triton waits for, within the delay.",
        )  # fmt: skip
    with delay:
        delay_ms = st.number_input(
            "Wait for a batch, ms", 0.0, 1000.0, (used.get("max_queue_delay_us") or 0) / 1e3, 0.5,
            key=f"deploy-delay-{name}", format="%g",
            help="How long a request may wait for others; 0: it runs as soon as possible.",
        )  # fmt: skip
    return int(max_batch), {
        "instance_count": int(count),
        "preferred_batch_sizes": sorted(chosen),
        "max_queue_delay_us": round(delay_ms * 1e3),
    }


def _more(
    name: str, artefact: Artefact, seen: TritonStatus, used: Mapping[str, Any]
) -> dict[str, Any]:
    """Ask for what most people leave as it is."""
    more: dict[str, Any] = {}
    left, middle, right = st.columns(3, gap="medium", vertical_alignment="bottom")
    with left:
        gpus = [f"GPU {number}" for number in range(len(seen.gpus))]
        device = st.selectbox(
            "Runs on", [_AS_CHOSEN, _PROCESSOR, *gpus], key=f"deploy-device-{name}"
        )
        if device != _AS_CHOSEN:
            more["gpus"] = [] if device == _PROCESSOR else [gpus.index(device)]
    with middle:
        limit = st.number_input(
            "Most requests in line", 0, 100_000, int(used.get("max_queue_size") or 0),
            key=f"deploy-line-{name}", help="More are refused at once; 0: no limit.",
        )  # fmt: skip
        more["max_queue_size"] = int(limit) or None
    with right:
        wait_ms = st.number_input(
            "Longest wait in line, ms", 0.0, 60_000.0, (used.get("queue_timeout_us") or 0) / 1e3,
            10.0, key=f"deploy-wait-{name}", format="%g",
            help="A request that waits for longer is refused; 0: it waits.",
        )  # fmt: skip
        more["queue_timeout_us"] = round(wait_ms * 1e3) or None
    left, middle, right = st.columns(3, gap="medium", vertical_alignment="bottom")
    with left:
        steps = st.number_input(
            "Copies of each step", 1, 64, int(used.get("step_instances") or 1),
            key=f"deploy-steps-{name}",
            help="Processes that decode pictures, and as many that write boxes; only for clients "
            "that send pictures to Triton.",
        )  # fmt: skip
        more["step_instances"] = int(steps)
    if artefact.platform == "onnxruntime":
        with middle:
            more["accelerator"] = accelerator = _accelerator(name, used)
        if accelerator == "tensorrt":
            with right:
                more["accelerator_precision"] = _accelerator_precision(name, used)
    more["response_cache"] = st.toggle(
        "Answer the same tensors from Triton's cache", bool(used.get("response_cache")),
        key=f"deploy-cache-{name}", help="Triton must be started with a cache (--cache-config).",
    )  # fmt: skip
    return more


def _gate(name: str) -> tuple[bool, str]:
    """Ask whether live video may move to a file that loses accuracy, and why."""
    force = st.toggle(
        "Move live video to it even if it loses more accuracy than the limit allows",
        key=f"deploy-force-{name}",
        help="Only where live video goes through Triton; it moves along with a deployment.",
    )
    if not force:
        return False, ""
    reason = st.text_input("Reason", key=f"deploy-reason-{name}", placeholder="Why it is worth it")
    return True, reason.strip()


def _accelerator(name: str, used: Mapping[str, Any]) -> str:
    names = list(_ACCELERATORS)
    before = str(used.get("accelerator") or "")
    return st.selectbox(
        "Accelerator", names, names.index(before) if before in names else 0,
        format_func=lambda one: _ACCELERATORS[one], key=f"deploy-accelerator-{name}",
        help="ONNX Runtime at Triton hands the model on to it.",
    )  # fmt: skip


def _accelerator_precision(name: str, used: Mapping[str, Any]) -> str:
    return st.selectbox(
        "Its precision", ["fp32", "fp16"], key=f"deploy-accelerator-precision-{name}",
        index=int(used.get("accelerator_precision") == "fp16"),
    )  # fmt: skip


def _deploy(api: TritonApi, order: Order) -> str:
    made = api.deploy(order)
    return f"{plain(made.model)} is deployed as number {made.number}, and has answered."
