"""Steadiness: how often the box of a person standing still flickers on a clip.

Who stands still, and when, is read from another model at a low score (`tracks.py`). In such an
interval a frame flickers if the measured model, at its threshold, has no person's box that
overlaps the interval's median box by a half, or more than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sightline_training.boxes import Array, iou
from sightline_training.measure.evaluate import TALL
from sightline_training.measure.tracks import Interval, link, still

REFERENCE = 0.2  # score from which the reference's boxes are linked
SAME = 0.5  # overlap from which a box is that person's
JUMP = 5.0  # % of a box's height


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Frames with a person standing still: how many, and what went wrong in them."""

    persons: int  # intervals
    seconds: float
    frames: int
    missing: int  # without a box
    doubled: int  # with more than one
    moves: tuple[float, ...]  # of a box's fastest edge from frame to frame, in % of its height

    @property
    def flicker(self) -> float | None:
        """Share of the frames that flicker, in %; None where nobody stands still."""
        return 100 * (self.missing + self.doubled) / self.frames if self.frames else None

    @property
    def jitter(self) -> float:
        """Return the median move, in % of a box's height; NaN where there is none."""
        return float(np.median(self.moves)) if self.moves else float("nan")

    @property
    def jumps(self) -> float:
        """Return how many of the moves are over 5 % of a box's height, in %."""
        return 100 * float(np.mean([m > JUMP for m in self.moves])) if self.moves else float("nan")


def standing(reference: Sequence[Array], fps: float, height: int) -> list[Interval]:
    """Find who stands still, and is over a tenth of the picture's height.

    Args:
        reference: of each frame, the rows (n, 6) of persons that another model finds.
        fps: frames a second.
        height: of a frame.
    """
    sure = [rows[rows[:, 5] >= REFERENCE] for rows in reference]
    intervals = [interval for track in link(sure, fps) for interval in still(track, fps)]
    return [i for i in intervals if i.box[3] - i.box[1] > TALL * height]


def steadiness(intervals: Sequence[Interval], found: Sequence[Array], fps: float) -> Steadiness:
    """Watch a model's persons (n, 4+) of every frame, at its threshold, over the intervals."""
    frames = missing = doubled = 0
    moves: list[float] = []
    for interval in intervals:
        before: Array | None = None
        for frame in interval.frames:
            overlap = iou(interval.box[None], found[frame][:, :4])[0]
            boxes = int((overlap >= SAME).sum())
            frames += 1
            missing += boxes == 0
            doubled += boxes > 1
            box = found[frame][int(overlap.argmax()), :4] if boxes else None
            if box is not None and before is not None:
                moves.append(100 * float(np.abs(box - before).max() / (box[3] - box[1])))
            before = box
    return Steadiness(len(intervals), frames / fps, frames, missing, doubled, tuple(moves))


def together(parts: Sequence[Steadiness]) -> Steadiness:
    """Sum up several clips."""
    return Steadiness(
        sum(part.persons for part in parts),
        sum(part.seconds for part in parts),
        sum(part.frames for part in parts),
        sum(part.missing for part in parts),
        sum(part.doubled for part in parts),
        tuple(move for part in parts for move in part.moves),
    )
