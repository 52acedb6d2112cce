"""How the Triton server is, in a sentence, and its GPUs."""

from __future__ import annotations

from typing import Literal, TypeAlias

import streamlit as st

from sightline_frontend.deployed import Gpu, ServerModel, TritonStatus
from sightline_frontend.jargon import jargon, plainly
from sightline_frontend.views.tiles import NOTHING

Colour: TypeAlias = Literal["red", "orange", "blue", "green", "gray"]


def show_not_configured(seen: TritonStatus) -> None:
    """Say what Triton is for and how one is started."""
    st.info(
        "The detector isn't connected to a Triton server. With one, models run in a server of "
        "their own, several batches at once and on all of its GPUs, and other programs can ask it, "
        "too. Nothing else needs it.",
        icon=":material/cloud_off:",
    )
    if seen.why_not:
        st.caption(_sentence(seen.why_not))
    st.markdown("**Start one** on the detector's machine:")
    st.code("sightline triton serve --program …/bin/tritonserver", language=None)
    st.markdown(
        "`--program` is where Triton's own program lies; leave it out if that is on the PATH. "
        "The command prints what to set for the detector, such as `SIGHTLINE_TRITON_GRPC_URL` and "
        "`SIGHTLINE_TRITON_REPOSITORY`; start that again with it. With Docker Compose add "
        "`deploy/compose/triton.yml`; docs/triton.md says more."
    )


def show_server(seen: TritonStatus) -> None:
    """Say how the server is, and what else is wrong."""
    with st.container(border=True, gap="small", key="deploy-status"):
        _server(seen)
        for one in seen.models:
            _model(one)
        if seen.live and not seen.can_deploy and seen.why_not_deploy:
            _say("Read only", ":material/lock:", "blue", _sentence(seen.why_not_deploy))


def _model(one: ServerModel) -> None:
    """Say what is wrong with one of its models, if anything."""
    if one.ready and one.probe is not None and not one.probe.ok:
        what = f"{one.name} is loaded but doesn't answer: {_sentence(one.probe.error)}"
        _say("No answer", ":material/error:", "red", f"{what} It is loaded anew by itself.")
    elif one.trouble:
        why = f"{one.name} isn't loaded: {_sentence(one.trouble)}"
        _say("Not loaded", ":material/warning:", "orange", why)


def _server(seen: TritonStatus) -> None:
    where = f"{seen.url} ({_protocol(seen)})"
    if not seen.live:
        trouble = _sentence(seen.trouble) if seen.trouble else f"Nothing answers at {where}."
        again = "This page goes on by itself as soon as it answers."
        _say("Down", ":material/power_off:", "red", f"{trouble} {again}")
        return
    if not seen.ready:
        why = _sentence(seen.trouble) if seen.trouble else "It is still starting."
        _say("Not ready", ":material/hourglass_top:", "orange", f"Triton lives at {where}. {why}")
        return
    loaded = sum(one.ready for one in seen.models)
    many = "no model is loaded" if not loaded else f"{loaded} models are loaded"
    many = "one model is loaded" if loaded == 1 else many
    sentence = f"Triton {seen.version} at {where} is ready; {many}."
    _say("Ready", ":material/check_circle:", "green", sentence)
    if seen.trouble:
        _say("Trouble", ":material/warning:", "orange", _sentence(seen.trouble))


def _say(word: str, icon: str, colour: Colour, sentence: str) -> None:
    """Write a line; the sentence is no Markdown, for an error of Triton's may be in it."""
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.badge(word, icon=icon, color=colour)
        st.text(plainly(sentence), help=jargon(sentence))


def show_gpus(seen: TritonStatus) -> None:
    """Show each GPU's use and memory, where there are any; two GPUs a row."""
    for left in range(0, len(seen.gpus), 2):
        with st.container(key=f"deploy-tiles-gpus-{left}"):
            columns = st.columns(4, gap="small")
            for number, gpu in enumerate(seen.gpus[left : left + 2]):
                name = "GPU" if len(seen.gpus) == 1 else f"GPU {left + number}"
                for column, (what, value, detail) in zip(
                    columns[2 * number :], _tiles(gpu), strict=False
                ):
                    with column:
                        st.metric(
                            f"{name} {what}", value, detail, delta_color="gray",
                            delta_arrow="off", border=True, height="stretch",
                        )  # fmt: skip


def _tiles(gpu: Gpu) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    use = NOTHING if gpu.use is None else f"{gpu.use:.0%}"
    power = "power unknown" if gpu.power_watts is None else f"{gpu.power_watts:.0f} W"
    used, total = gpu.memory_bytes, gpu.memory_total_bytes
    memory = NOTHING if used is None else f"{used / 2**30:.1f} GiB"
    of = "total unknown" if total is None else f"of {total / 2**30:.0f} GiB"
    return ("in use", use, power), ("memory", memory, of)


def _protocol(seen: TritonStatus) -> str:
    return {"grpc": "gRPC", "http": "HTTP"}.get(seen.protocol, seen.protocol)


def _sentence(text: str) -> str:
    """Return a server's words as a sentence."""
    text = text.strip() or "no reason is given"
    return text if text.endswith((".", "!", "?")) else f"{text}."
