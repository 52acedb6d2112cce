"""On clips: false alarms where nobody is, and steadiness where somebody stands still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sightline_training.measure.alarms import Alarms, count, empty_frames
from sightline_training.measure.candidates import Entry
from sightline_training.measure.clips import Watched, watch
from sightline_training.measure.steady import Steadiness, standing, steadiness, together
from sightline_training.measure.tables import table

ROOM = "intel_one-by-one-person-detection.mp4"  # one after the other, the room empty in between
CARS = "swdee_cars.mp4"  # nobody on foot; some drivers can be made out
EMPTY_ROOM = f"{ROOM}, empty room"
STEADY = (ROOM, "arjun_vtest.avi")
# Whoever keeps a place here walks along the line of sight, in a crowd that hides him at times.
WALKING = "swdee_people-walking.mp4"
CARS_FPS = 1.0  # its frames hardly differ


@dataclass(frozen=True, slots=True, eq=False)
class OnClips:
    """Every candidate on the clips, by its name."""

    alarms: dict[str, list[Alarms]] = field(default_factory=dict)
    steady: dict[str, dict[str, Steadiness]] = field(default_factory=dict)  # then by clip

    def overall(self, name: str) -> Steadiness:
        """Sum a candidate's steadiness over the clips in which people stand."""
        return together([self.steady[name][clip] for clip in STEADY])


def measure(entries: Sequence[Entry], reference: int, data: Path) -> OnClips:
    """Run every candidate over the clips; `reference` is the entry that says who is there."""
    got = OnClips()
    for clip in (*STEADY, WALKING):
        watched = watch(data / "video" / clip, entries)
        if clip == ROOM:
            empty = empty_frames(watched.glimpses, watched.found[reference], watched.fps)
            _alarms(got, entries, watched, np.flatnonzero(empty).tolist(), EMPTY_ROOM)
        intervals = standing(watched.found[reference], watched.fps, watched.height)
        for entry, found in zip(entries, watched.found, strict=True):
            if 0 in entry.candidate.labels:
                persons = [rows[(rows[:, 4] == 0) & entry.sure(rows)] for rows in found]
                result = steadiness(intervals, persons, watched.fps)
                got.steady.setdefault(entry.candidate.name, {})[clip] = result
    watched = watch(data / "video" / CARS, entries, CARS_FPS)
    _alarms(got, entries, watched, range(len(watched.glimpses)), CARS)
    return got


def _alarms(
    got: OnClips, entries: Sequence[Entry], watched: Watched, frames: Sequence[int], where: str
) -> None:
    for entry, found in zip(entries, watched.found, strict=True):
        pictures = ((f"at {i / watched.fps:.1f} s", found[i][entry.sure(found[i])]) for i in frames)
        got.alarms.setdefault(entry.candidate.name, []).append(count(where, pictures))


def steady_table(got: OnClips) -> str:
    """Lay out the steadiness of each candidate on each clip, and on all."""
    rows = []
    for name, clips in got.steady.items():
        standing = [(clip, clips[clip]) for clip in STEADY]
        walking = (f"{WALKING} (walkers, not in the sum)", clips[WALKING])
        for clip, one in [*standing, ("both", got.overall(name)), walking]:
            flicker = "-" if one.flicker is None else f"{one.flicker:.1f} %"
            jitter = f"{one.jitter:.1f} %, {one.jumps:.1f} %" if one.moves else "-"
            rows.append(
                (
                    *(name, clip, str(one.persons), f"{one.seconds:.0f} s", str(one.frames)),
                    *(str(one.missing), str(one.doubled), flicker, jitter),
                )
            )
    headings = ("still", "time", "frames", "no box", "more boxes", "flicker", "jitter, jumps")
    return table(("model", "clip", *headings), rows)
