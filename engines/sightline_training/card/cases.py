"""Cases: the worst held-out pictures, their layout drawn anew, none of their pixels shown."""

from __future__ import annotations

import numpy as np

from sightline_training.boxes import Array, area
from sightline_training.card.sheet import TILE_WH, Tile
from sightline_training.drawn.figure import FULL, HEAD_TOP, Figure, sprite_of
from sightline_training.drawn.looks import PEOPLE
from sightline_training.drawn.sprite import fit
from sightline_training.measure.matches import Judged
from sightline_training.samples import LABELS, Picture

_MISSES, _ALARMS = 3, 2  # of each class
_ZOOM = 2  # what is drawn is this much larger than its tile
_SHOULDERS = 2.4  # a figure's width, in face heights


def worst(judged: dict[int, list[Judged]]) -> list[Tile]:
    """Choose pictures by the tallest boxes missed and the surest false alarms of each class."""
    tiles = []
    for label, pictures in sorted(judged.items()):
        name = LABELS[label]
        lost = sorted(pictures, key=lambda one: -_tallest(one))[:_MISSES]
        tiles += [_redrawn(one, f"{name}, {_tallest(one):.0%} of the height") for one in lost]
        rest = [one for one in pictures if one not in lost]
        alarmed = sorted(rest, key=lambda one: -_surest(one))[:_ALARMS]
        tiles += [_redrawn(one, f"{name} found, no label fits it") for one in alarmed]
    return tiles


def _tallest(one: Judged) -> float:
    return float(one.heights[one.missed].max(initial=0))


def _surest(one: Judged) -> float:
    return float(one.found[one.wrong, 5].max(initial=0))


def _redrawn(one: Judged, title: str) -> Tile:
    """Draw figures at the true boxes on a plain ground of a tile's shape."""
    height, width = one.sample.bgr.shape[:2]
    canvas_wh = TILE_WH[0] * _ZOOM, TILE_WH[1] * _ZOOM
    scale = min(canvas_wh[0] / width, canvas_wh[1] / height)
    shift = np.asarray([canvas_wh[0] - width * scale, canvas_wh[1] - height * scale] * 2) / 2
    picture = np.full((canvas_wh[1], canvas_wh[0], 3), 255, np.uint8)
    x1, y1, x2, y2 = np.rint(np.asarray([0, 0, width, height]) * scale + shift).astype(int)
    picture[y1:y2, x1:x2] = 222
    boxes, found = one.boxes.copy(), one.found.copy()
    boxes[:, :4] = boxes[:, :4] * scale + shift
    found[:, :4] = found[:, :4] * scale + shift
    for index in np.argsort(area(boxes[:, :4])):  # small ones are farther away
        _figure(picture, boxes[index], int(index))
    return Tile(title, picture, boxes, found, one.missed, one.wrong)


def _figure(picture: Picture, box: Array, index: int) -> None:
    looks, (wide, tall) = PEOPLE[index % len(PEOPLE)], box[2:4] - box[:2]
    if int(box[4]) == 1:
        figure = Figure(looks, only_head=True)
    else:
        length = np.clip(tall / max(1.0, wide) * _SHOULDERS + HEAD_TOP, 1.2, FULL)
        figure = Figure(looks, length=round(float(length) * 2) / 2)
    fit(picture, sprite_of(figure), box[:4])
