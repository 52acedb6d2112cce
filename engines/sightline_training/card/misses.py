"""Misses: which held-out boxes the model leaves out at its default threshold, and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sightline_engines.sidecar import sidecar_path
from sightline_training.boxes import area, intersection
from sightline_training.detectors import yolox
from sightline_training.measure.candidates import shown, stated
from sightline_training.measure.matches import Judged, Mask, judge
from sightline_training.measure.material import SET_OF, require
from sightline_training.measure.tables import table
from sightline_training.samples import LABELS, load

_EDGE = 0.006  # of a side: a box that comes so close to the edge is cut by it
_COVERED = 0.25  # of a box's own area that lies in another: then they overlap


def judge_all(model: Path, data: Path) -> dict[int, list[Judged]]:
    """Judge every held-out picture, class by class, by what the product shows.

    Raises:
        FileNotFoundError: material is missing.
        ValueError: the sidecar names no threshold.
    """
    require([model, sidecar_path(model)], data)
    options, detector = stated(model), yolox(model, {0: 0, 1: 1})
    judged = {}
    for label, name in SET_OF.items():
        samples = load(data, name, {}, held=True)
        found = [shown(detector(sample.bgr), sample.bgr, options) for sample in samples]
        pairs = zip(samples, found, strict=True)
        judged[label] = [judge(sample, rows, label, options.conf) for sample, rows in pairs]
    return judged


def groups(judged: Judged) -> dict[str, Mask]:
    """Sort boxes by what may make them hard: name of the group to membership (n,)."""
    height, width = judged.sample.bgr.shape[:2]
    tall, boxes = judged.heights, judged.boxes[:, :4]
    near = np.asarray([width, height]) * _EDGE
    low, high = boxes[:, :2] <= near, boxes[:, 2:] >= np.asarray([width, height]) - near
    cut = np.asarray(low.any(1) | high.any(1), bool)
    shared = intersection(boxes, boxes)
    np.fill_diagonal(shared, 0)
    covered = np.asarray(shared.max(1, initial=0) > _COVERED * area(boxes), bool)
    return {
        "under 5 % high": tall < 0.05,
        "5 to 10 %": (tall >= 0.05) & (tall < 0.1),
        "10 to 25 %": (tall >= 0.1) & (tall < 0.25),
        "over 25 %": tall >= 0.25,
        "cut by the edge": cut,
        "whole": ~cut,
        "overlapped": covered,
        "apart": ~covered,
    }


def tally(judged: list[Judged]) -> dict[str, tuple[int, int]]:
    """Count a class: name of the group to missed boxes and all boxes."""
    totals: dict[str, tuple[int, int]] = {"all": (0, 0)}
    for one in judged:
        for name, member in (groups(one) | {"all": np.ones(len(one.boxes), bool)}).items():
            missed, boxes = totals.get(name, (0, 0))
            totals[name] = (missed + int((member & one.missed).sum()), boxes + int(member.sum()))
    return totals


def missed_table(judged: dict[int, list[Judged]]) -> str:
    """Lay the counts of both classes side by side, a row for each group."""
    counts = [tally(judged[label]) for label in SET_OF]
    names = ("boxes", *(f"{LABELS[label]}s missed" for label in SET_OF))
    lines = [(name, *(_share(c.get(name, (0, 0))) for c in counts)) for name in counts[0]]
    return table(names, lines)


def _share(count: tuple[int, int]) -> str:
    missed, boxes = count
    return f"{missed / boxes:.0%} ({missed} of {boxes})" if boxes else "none there"
