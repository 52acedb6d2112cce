"""Tracks: boxes linked over frames, and when what they show stands still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sightline_training.boxes import Array, iou

LINKED = 0.3  # overlap of a box with the track's last one
GAP_S = 0.5  # how long a track may be without a box
STILL = 0.8  # overlap of every box with the interval's median box
LEAST_S = 2.0  # of an interval


@dataclass(slots=True, eq=False)
class Track:
    """Boxes (4,) of one thing, at most one a frame."""

    frames: list[int] = field(default_factory=list)
    boxes: list[Array] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """Frames from first to last in which a thing stands still, and its median box (4,)."""

    first: int
    last: int
    box: Array

    @property
    def frames(self) -> range:
        """The numbers of its frames."""
        return range(self.first, self.last + 1)


def link(found: Sequence[Array], fps: float) -> list[Track]:
    """Link each frame's boxes (n, 4+) to the tracks they overlap most, best pairs first."""
    tracks: list[Track] = []
    for frame, rows in enumerate(found):
        alive = [t for t in tracks if frame - t.frames[-1] <= GAP_S * fps + 1]
        last = np.asarray([t.boxes[-1] for t in alive], np.float32).reshape(-1, 4)
        overlap = iou(last, rows[:, :4])
        left = set(range(len(rows)))
        while overlap.size and overlap.max() >= LINKED:
            track, row = np.unravel_index(int(overlap.argmax()), overlap.shape)
            overlap[track, :] = overlap[:, row] = -1
            alive[track].frames.append(frame)
            alive[track].boxes.append(rows[row, :4])
            left.discard(int(row))
        tracks += [Track([frame], [rows[row, :4]]) for row in sorted(left)]
    return tracks


def still(track: Track, fps: float) -> list[Interval]:
    """Find the intervals in which a track stands still: disjoint, in order, each long enough."""
    boxes = np.asarray(track.boxes, np.float32).reshape(-1, 4)
    intervals = []
    start = 0
    while start < len(boxes):
        end = _stand(boxes, start)
        interval = Interval(
            track.frames[start], track.frames[end - 1], np.median(boxes[start:end], axis=0)
        )
        if len(interval.frames) >= LEAST_S * fps:
            intervals.append(interval)
            start = end
        else:
            start += 1
    return intervals


def _stand(boxes: Array, start: int) -> int:
    """Return the end (exclusive) up to which all boxes from `start` overlap their median."""
    end = start + 1
    while end < len(boxes):
        part = boxes[start : end + 1]
        if iou(np.median(part, axis=0)[None], part).min() < STILL:
            break
        end += 1
    return end
