"""Curves: precision over recall on the held-out pictures, the model beside its peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sightline_engines.sidecar import sidecar_path
from sightline_training.boxes import Array
from sightline_training.detectors import through_onnxruntime, yolox
from sightline_training.measure.candidates import peers, stated
from sightline_training.measure.evaluate import measured, run_over
from sightline_training.measure.material import SET_OF, require
from sightline_training.samples import LABELS, Sample, load

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OURS, _TALL, _PEER = "#0072b2", "#009e73", "#d55e00"  # apart for every kind of colour vision
_RECALL = np.linspace(0, 1, 101)  # where pycocotools reads precision
_LABELS = (0.6, 0.36, 0.12)  # precisions beside which curves are named, best first


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Precision at each of 101 recalls, and the score that reaches it; both 0 past the last."""

    name: str
    colour: str
    precision: NDArray[np.float64]
    score: NDArray[np.float64]

    @property
    def ap50(self) -> float:
        """The area below: what the report prints."""
        return float(self.precision.mean())


def measure(who: str, samples: Sequence[Sample], found: Sequence[Array], label: int) -> list[Curve]:
    """Trace a class at an overlap of a half, for all boxes and for tall ones."""
    got = measured(samples, found, label)
    precision, score = got.precision[0].clip(0), got.score[0].clip(0)
    return [
        Curve(name, colour, precision[:, band], score[:, band])
        for band, (name, colour) in enumerate(
            ((f"{who}\nall boxes", _OURS), (f"{who}\ntall boxes", _TALL))
        )
    ]


def trace(model: Path, data: Path, label: int) -> list[Curve]:
    """Trace the model for all and for tall boxes of a class, and its peer for all."""
    samples = load(data, SET_OF[label], {}, held=True)
    peer = peers(data)[label]
    theirs = peer.open(through_onnxruntime)
    ours = measure(model.stem, samples, run_over(samples, yolox(model, {0: 0, 1: 1})), label)
    beside = measure(peer.name, samples, run_over(samples, theirs), label)[0]
    return [*ours, Curve(beside.name, _PEER, beside.precision, beside.score)]


def draw(model: Path, data: Path, output: Path) -> None:
    """Write the picture of both classes as PNG.

    Raises:
        FileNotFoundError: material is missing.
        ValueError: the sidecar names no threshold.
    """
    require([model, sidecar_path(model), *(peer.path for peer in peers(data).values())], data)
    confidence = stated(model).conf
    picture([trace(model, data, label) for label in SET_OF], confidence, output)


def picture(classes: Sequence[list[Curve]], confidence: float, output: Path) -> None:
    """Write a pane for each class: all boxes, tall ones and the peer's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 7), layout="constrained", facecolor="white")
    axes = figure.subplots(1, 2, sharey=True)
    for pane, curves, label in zip(axes, classes, LABELS, strict=True):
        _pane(pane, curves, confidence)
        pane.set_title(f"{label}s, held-out pictures, IoU 0.5", fontsize=18, pad=12)
    axes[0].set_ylabel("precision", fontsize=16)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=100)


def _pane(pane: Axes, curves: list[Curve], confidence: float) -> None:
    for curve in curves:
        last = max(1, int(np.count_nonzero(curve.precision)))
        width = 3.2 if curve is curves[0] else 2.2
        pane.plot(_RECALL[:last], curve.precision[:last], color=curve.colour, linewidth=width)
    best_first = sorted(curves, key=lambda curve: -curve.ap50)
    for height, curve in zip(_LABELS, best_first, strict=True):
        at = max(0, int((curve.precision >= height).sum()) - 1)  # where it falls past its label
        pane.annotate(
            f"{curve.name}\nAP50 {curve.ap50:.2f}",
            (float(_RECALL[at]), float(curve.precision[at])),
            (1.04, height),
            color=curve.colour,
            fontsize=15,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": curve.colour,
                "linestyle": ":",
                "linewidth": 1.6,
                "relpos": (0, 0.5),
            },
        )
    _mark(pane, curves[0], confidence)
    pane.set(xlim=(0, 1), ylim=(0, 1.02))
    pane.set_xlabel("recall", fontsize=16)
    pane.tick_params(labelsize=14)
    pane.grid(color="#dddddd")
    pane.spines[["top", "right"]].set_visible(False)


def _mark(pane: Axes, curve: Curve, confidence: float) -> None:
    """Mark where the default threshold lies on a curve."""
    at = int((curve.score >= confidence).sum()) - 1
    if at < 0:
        return
    x, y = float(_RECALL[at]), float(curve.precision[at])
    pane.plot([x], [y], "o", color=curve.colour, markersize=13, markeredgecolor="white")
    text = f"default threshold {confidence:.2f}"
    pane.annotate(
        text,
        (x, y),
        (0.04, 0.3),
        fontsize=15,
        arrowprops={"arrowstyle": "-", "color": "#555555", "shrinkB": 8},
    )
