"""Clips: what several models find in every frame of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sightline_engines.clip import probe_clip, read_clip
from sightline_training.boxes import Array
from sightline_training.measure.candidates import Entry
from sightline_training.measure.steady import REFERENCE


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """The frames of a clip that were looked at, at equal distances."""

    name: str
    fps: float  # of these frames
    height: int
    frames: int
    # By model, by frame: rows (n, 6) from its threshold or the reference's on, the lower one.
    found: list[list[Array]]


def watch(path: Path, entries: Sequence[Entry], most_fps: float = 10.0) -> Watched:
    """Run candidates over a clip, at most so many frames a second.

    Raises:
        ClipError: it can't be read.
    """
    info = probe_clip(path)
    step = max(1, round(info.fps / most_fps))
    curious = [_curious(entry) for entry in entries]
    frames = 0
    found: list[list[Array]] = [[] for _ in entries]
    for number, bgr in enumerate(read_clip(path)):
        if number % step == 0:
            frames += 1
            for rows, entry in zip(found, curious, strict=True):
                rows.append(entry.look(bgr))
    return Watched(path.name, info.fps / step, info.height, frames, found)


def _curious(entry: Entry) -> Entry:
    low = min(entry.options.conf, REFERENCE)
    return replace(entry, options=replace(entry.options, conf=low))
