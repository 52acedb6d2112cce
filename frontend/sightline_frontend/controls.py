"""The choice of model, thresholds and classes, the same on every page."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from sightline_engines import wire
from sightline_frontend.backend import Model


@dataclass(frozen=True, slots=True)
class Choice:
    """What the viewer wants detected, and what is known of the chosen model."""

    settings: wire.Settings
    labels: tuple[str, ...] = ()
    input_size_wh: tuple[int, int] | None = None  # None: the server's greeting says


def choose(models: tuple[Model, ...], page: str) -> Choice:
    """Show the controls; without models (no detector) they wait for it."""
    if not models:
        st.caption("Model, thresholds and classes can be chosen once the detector answers.")
        return Choice(wire.Settings())
    by_name = {model.name: model for model in models}
    name = st.selectbox("Model", list(by_name), key=f"{page}-model")
    model = by_name[name]
    conf = st.slider(
        "Confidence", 0.05, 0.95, _step(model.conf), 0.05, key=f"{page}-conf-{name}",
        help="Boxes the model is less sure of are left out.",
    )  # fmt: skip
    iou = st.slider(
        "Overlap (IoU)", 0.05, 0.95, _step(model.iou), 0.05, key=f"{page}-iou-{name}",
        help="Of boxes of one class that overlap more than this, the best is kept.",
    )  # fmt: skip
    classes = st.multiselect(
        "Classes",
        list(dict.fromkeys(model.labels)),
        placeholder="All",
        key=f"{page}-classes-{name}",
    )
    st.caption(f"Licence of {model.name}: {model.licence}")
    settings = wire.Settings(conf=conf, iou=iou, classes=tuple(classes), model=name)
    return Choice(settings, model.labels, model.input_size_wh)


def _step(value: float) -> float:
    return min(0.95, max(0.05, round(value * 20) / 20))
