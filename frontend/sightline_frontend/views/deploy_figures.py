"""How a deployment does: pictures, latency, success, batches as they ran."""

from __future__ import annotations

import time
from typing import Any, Literal, TypeAlias

import streamlit as st

from sightline_frontend.deployed import STAGES, Deployment, Statistics, TritonStatus
from sightline_frontend.inference_rate import InferenceRates
from sightline_frontend.views.charts import BLUE
from sightline_frontend.views.tiles import NOTHING

Colour: TypeAlias = Literal["red", "green", "gray"]
TWO_BY_TWO = """<style>
@media (max-width: 640px) {
  [class*="st-key-deploy-tiles"] .stColumn {
    flex: 1 1 calc(50% - 1rem); min-width: calc(50% - 1rem);
  }
  [class*="st-key-deploy-tiles"] [data-testid="stMetricValue"] { font-size: 1.5rem; }
  [class*="st-key-deploy-tiles"] [data-testid="stMetricDelta"] * { white-space: normal; }
}
</style>"""
_PROBES = (
    "All that the model has run since it was loaded, with the pictures that are tried every few "
    "seconds to see whether it answers. Idle: nobody asks more often than those."
)
_MEDIAN = (
    "Half of the requests of Triton's last minute or so took no longer; p95 and p99: 95 and 99 in "
    "a hundred of them. Below are means over all since it was loaded, its slow first ones, too."
)
_BATCHES: dict[str, Any] = {  # never changes, so the browser redraws it in place
    "height": 92,
    "mark": {"type": "bar", "color": BLUE, "cornerRadiusEnd": 2},
    "encoding": {
        "x": {
            "field": "pictures",
            "type": "ordinal",
            "title": None,
            "sort": "ascending",
            "axis": {"labelAngle": 0, "ticks": False, "domain": False},
            "scale": {"paddingInner": 0.3},
        },
        "y": {"field": "batches", "type": "quantitative", "axis": None},
        "tooltip": [
            {"field": "pictures", "type": "ordinal", "title": "pictures in a batch"},
            {"field": "batches", "type": "quantitative", "title": "batches", "format": ","},
        ],
    },
}


def show_figures(seen: TritonStatus, deployment: Deployment) -> None:
    """Show the figures of the model itself, and below them those of the whole way."""
    model, whole = seen.itself(deployment), seen.named(deployment.pictures)
    figures = (model and model.statistics) or Statistics()
    name = deployment.model if model is None else model.name
    rate = _rates().note(name, figures.inferences, time.monotonic(), _tried(seen, deployment))
    with st.container(key=f"deploy-tiles-{deployment.model}"):
        pictures, latency, success, batches = st.columns(4, gap="small")
        with pictures:
            _tile("Pictures", f"{figures.inferences:,}", _rate(rate), said=_PROBES)
        with latency:
            _latency(figures)
        with success:
            _success(figures)
        with batches:
            _batches(figures)
    st.caption(_way(figures, (whole and whole.statistics) or Statistics()))


def _rates() -> InferenceRates:
    rates: InferenceRates = st.session_state.setdefault("deploy-rates", InferenceRates())
    return rates


def _tile(
    name: str, value: str, detail: str, colour: Colour = "gray", *, said: str | None = None
) -> None:
    st.metric(
        name, value, detail, delta_color=colour, delta_arrow="off", border=True, height="stretch",
        help=said,
    )  # fmt: skip


def _tried(seen: TritonStatus, deployment: Deployment) -> tuple[str, ...]:
    """Return when each of a deployment's names was last tried; such a try counts as a picture."""
    named = (seen.named(name) for name in (deployment.pictures, deployment.tensors))
    return tuple(f"{one.name} {one.probe.checked_at}" for one in named if one and one.probe)


def _latency(figures: Statistics) -> None:
    """Show a request's time: all figures of a tile are over the same span."""
    if figures.p50_ms is None:  # Triton counts no percentiles
        mean = figures.mean_ms.get("request")
        _tile("Inference, mean", ms(mean), "since it was loaded")
        return
    tail = f"p95 {ms(figures.p95_ms)} · p99 {ms(figures.p99_ms)}"
    _tile("Inference, p50", ms(figures.p50_ms), tail, said=_MEDIAN)


def _success(figures: Statistics) -> None:
    rate = figures.success_rate
    value = NOTHING if rate is None else "100%" if rate == 1 else f"{min(rate, 0.9999):.2%}"
    failed = f"{figures.failures:,} failed"
    colour: Colour = "red" if figures.failures else "green" if figures.requests else "gray"
    asked = "none failed" if figures.requests else "nothing asked"
    _tile("Success", value, failed if figures.failures else asked, colour)


def _batches(figures: Statistics) -> None:
    with st.container(border=True, height="stretch", gap=None):
        st.html('<div style="font-size:0.875rem;padding-bottom:0.4rem">Batches as they ran</div>')
        sizes = sorted(figures.batch_sizes.items())
        if not sizes:
            st.caption("No batch has run yet.")
            return
        data = {"pictures": [n for n, _ in sizes], "batches": [ran for _, ran in sizes]}
        st.vega_lite_chart(data, _BATCHES, alt="Batches by their size", width="stretch")


def _way(figures: Statistics, whole: Statistics) -> str:
    """Return where the time goes, inside and for a picture's whole way."""
    parts = [
        f"{word} {ms(figures.mean_ms.get(name))}"
        for name, word in STAGES.items()
        if figures.mean_ms.get(name) is not None
    ]
    text = ""
    if parts and figures.requests:
        mean = ms(figures.mean_ms.get("request"))
        if figures.p50_ms is not None:
            text = "p50, p95 and p99 are of the last minute. "
        text += f"Mean since it was loaded: {mean}, of which {', '.join(parts)}."
    if whole.requests and whole.p50_ms is not None:
        took = f"p50 {ms(whole.p50_ms)}, p95 {ms(whole.p95_ms)}"
        text += f" A picture sent whole, to be decoded and boxed there: {took}."
    elif whole.requests:
        mean = ms(whole.mean_ms.get("request"))
        text += f" A picture sent whole, to be decoded and boxed there: mean {mean}."
    return text.strip() or "Nobody has asked it yet."


def _rate(rate: float | None) -> str:
    return "counting" if rate is None else "idle" if rate == 0 else f"{rate:.3g} a second"


def ms(value: float | None) -> str:
    """Return milliseconds for people."""
    if value is None:
        return NOTHING
    return (
        f"{value:.2f} ms"
        if value < 0.995
        else f"{value:.3g} ms"
        if value < 99.5
        else f"{value:,.0f} ms"
    )
