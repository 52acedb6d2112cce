"""Sheets: pages of captioned tiles and bars, for the model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightline_engines.draw import Color, draw_detections
from sightline_engines.types import Detections
from sightline_training.boxes import Array
from sightline_training.measure.matches import Mask
from sightline_training.samples import LABELS, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TILE_WH = (304, 228)
WIDTH = 1600
_COLUMNS, _LEFT, _GAP = 5, 16, 12
_CAPTION = 46
_ROW = _CAPTION + TILE_WH[1] + 12
_HEADING = 94
_BARS = 300
_MISSED, _LOST_BGR = "#d55e00", (0, 94, 213)
_DASH = 8  # pixels
_COLOURS = ("#0072b2", "#009e73")  # persons, faces


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A drawing with what is true in it and what the model found."""

    title: str
    bgr: Picture
    boxes: Array  # (n, 6), dashed
    found: Array  # (m, 6), solid with scores
    missed: Mask  # (n,)
    wrong: Mask  # (m,)

    def outcome(self) -> str:
        """Say in words what went wrong."""
        lost = [LABELS[int(box[4])] for box in self.boxes[self.missed]]
        extra = [f"{LABELS[int(row[4])]} {row[5]:.0%}" for row in self.found[self.wrong]]
        parts = [f"missed: {_counted(lost)}"] if lost else []
        if len(extra) == 1:
            parts.append(f"false alarm: {extra[0]}")
        elif extra:
            parts.append(f"{len(extra)} false, best {self.found[self.wrong, 5].max():.0%}")
        if parts:
            return "; ".join(parts)
        return "all found" if len(self.boxes) else "nothing there, nothing found"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A heading, a sentence below it, and tiles."""

    heading: str
    text: str
    tiles: Sequence[Tile]


def write(parts: Sequence[Part], counts: Sequence[dict[str, tuple[int, int]]], path: Path) -> None:
    """Write the parts and a panel of bars for each class as one PNG."""
    from matplotlib.figure import Figure

    rows = [-(-len(part.tiles) // _COLUMNS) for part in parts]
    height = sum(rows) * _ROW + (len(parts) + 1) * _HEADING + _BARS
    figure = Figure(figsize=(WIDTH / 100, height / 100), dpi=100, facecolor="white")
    top = 0
    for part, count in zip(parts, rows, strict=True):
        _head(figure, part.heading, part.text, top)
        for index, tile in enumerate(part.tiles):
            down, across = divmod(index, _COLUMNS)
            left = _LEFT + across * (TILE_WH[0] + _GAP)
            _tile(figure, tile, left, top + _HEADING + down * _ROW)
        top += _HEADING + count * _ROW
    text = "Share of the held-out boxes that are missed at the default threshold, and how many."
    _head(figure, "What is missed in real pictures", text, top)
    for label, totals in enumerate(counts):
        left = 160 + label * 800
        pane = figure.add_axes(_placed(figure, left, top + _HEADING - 4, 520, _BARS - 40))
        _bars(pane, totals, f"{LABELS[label]}s", _COLOURS[label])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _head(figure: Figure, heading: str, text: str, top: int) -> None:
    across, up = _LEFT / WIDTH, figure.get_figheight() * 100
    figure.text(across, 1 - (top + 14) / up, heading, fontsize=16, weight="bold", va="top")
    figure.text(across, 1 - (top + 42) / up, text, fontsize=12.5, color="#333333", va="top")


def _tile(figure: Figure, tile: Tile, left: int, top: int) -> None:
    pane = figure.add_axes(_placed(figure, left, top + _CAPTION, *TILE_WH))
    pane.imshow(_marked(tile)[..., ::-1], interpolation="nearest", aspect="auto")
    pane.set_axis_off()
    up = figure.get_figheight() * 100
    bad = bool(tile.missed.any() or tile.wrong.any())
    ink = _MISSED if bad else "#333333"
    figure.text(left / WIDTH, 1 - (top + 4) / up, tile.title, size=12.5, va="top", weight="bold")
    figure.text(left / WIDTH, 1 - (top + 24) / up, tile.outcome(), size=12, va="top", color=ink)


def _marked(tile: Tile) -> Picture:
    """Draw the true boxes and, on top, what was found, at the tile's size."""
    scale = TILE_WH[0] / tile.bgr.shape[1]
    small = np.asarray(cv2.resize(tile.bgr, TILE_WH, interpolation=cv2.INTER_AREA), np.uint8)
    for box, lost in zip(tile.boxes[:, :4] * scale, tile.missed, strict=True):
        _dashed(small, box, _LOST_BGR if lost else (0, 0, 0), 3 if lost else 1)
    xyxy = np.asarray(tile.found[:, :4] * scale, np.float32)
    kind = np.asarray(tile.found[:, 4], np.int32)
    found = Detections(xyxy, tile.found[:, 5].astype(np.float32), kind)
    return draw_detections(small, found, LABELS)


def _dashed(bgr: Picture, box: Array, ink: Color, thick: int) -> None:
    limit = np.asarray([TILE_WH[0] - 2, TILE_WH[1] - 2] * 2)
    x1, y1, x2, y2 = (int(v) for v in np.clip(np.rint(box), 1, limit))
    cv2.rectangle(bgr, (x1, y1), (x2, y2), (255, 255, 255), thick + 1)
    for x in range(x1, x2, _DASH + _DASH // 2):
        for y in (y1, y2):
            cv2.line(bgr, (x, y), (min(x + _DASH, x2), y), ink, thick)
    for y in range(y1, y2, _DASH + _DASH // 2):
        for x in (x1, x2):
            cv2.line(bgr, (x, y), (x, min(y + _DASH, y2)), ink, thick)


def _bars(pane: Axes, totals: dict[str, tuple[int, int]], title: str, colour: str) -> None:
    names = list(totals)
    shares = [missed / boxes if boxes else 0.0 for missed, boxes in totals.values()]
    pane.barh(names, shares, color=colour, height=0.7)
    for row, (missed, boxes) in enumerate(totals.values()):
        words = f" {shares[row]:.0%}, {missed} of {boxes}" if boxes else " none there"
        pane.text(shares[row], row, words, va="center", fontsize=12)
    pane.invert_yaxis()
    pane.set(xlim=(0, 1), xticks=[])
    pane.set_title(title, fontsize=14, loc="left")
    pane.tick_params(axis="y", labelsize=12, length=0)
    pane.spines[["top", "right", "bottom"]].set_visible(False)


def _placed(
    figure: Figure, left: int, top: int, width: int, height: int
) -> tuple[float, float, float, float]:
    up = figure.get_figheight() * 100
    return left / WIDTH, 1 - (top + height) / up, width / WIDTH, height / up


def _counted(names: list[str]) -> str:
    return ", ".join(
        name if names.count(name) == 1 else f"{names.count(name)} {name}s"
        for name in dict.fromkeys(names)
    )
