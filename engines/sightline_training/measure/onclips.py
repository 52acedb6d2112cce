"""On clips: false alarms where nobody is, and steadiness where somebody stands still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightline_training.measure.aims import Verdict, judge
from sightline_training.measure.alarms import Alarms, count
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
CALM_FPS = 1.0  # where nobody is: these frames hardly differ
# Seconds of ROOM, looked through by eye, without a person, a foot or a shadow; the nearest one is
# half a second away at least.
EMPTY_S = (
    *((0.5, 4.9), (21.3, 21.5), (46.3, 48.9), (71.3, 73.2)),
    *((88.3, 90.5), (121.3, 121.9), (137.5, 138.8)),
)


@dataclass(frozen=True, slots=True, eq=False)
class OnClips:
    """Every candidate on the clips, by its name."""

    reference: str  # whose boxes say who stands still: its own row says little
    alarms: dict[str, list[Alarms]] = field(default_factory=dict)
    steady: dict[str, dict[str, Steadiness]] = field(default_factory=dict)  # then by clip

    def overall(self, name: str) -> Steadiness:
        """Sum a candidate's steadiness over the clips in which people stand."""
        return together([self.steady[name][clip] for clip in STEADY])

    def verdicts(self, name: str) -> list[Verdict]:
        """Hold a candidate's flicker against the aim: on all these clips, and on each."""
        whole = judge("flicker", self.overall(name).flicker, "both clips")
        each = (judge("flicker", self.steady[name][clip].flicker, clip) for clip in STEADY)
        return [whole, *each]


def empty_frames(fps: float, frames: int) -> list[int]:
    """List frames of ROOM, about one a second, in which nobody is."""
    step = max(1, round(fps / CALM_FPS))
    listed = (range(round(a * fps), round(b * fps) + 1, step) for a, b in EMPTY_S)
    return [frame for part in listed for frame in part if frame < frames]


def measure(entries: Sequence[Entry], reference: int, data: Path) -> OnClips:
    """Run every candidate over the clips; `reference` is the entry that says who is there."""
    got = OnClips(entries[reference].candidate.name)
    for clip in (*STEADY, WALKING):
        watched = watch(data / "video" / clip, entries)
        if clip == ROOM:
            empty = empty_frames(watched.fps, watched.frames)
            _alarms(got, entries, watched, empty, EMPTY_ROOM)
        intervals = standing(watched.found[reference], watched.fps, watched.height)
        for entry, found in zip(entries, watched.found, strict=True):
            if 0 in entry.candidate.labels:
                persons = [rows[(rows[:, 4] == 0) & entry.sure(rows)] for rows in found]
                result = steadiness(intervals, persons, watched.fps)
                got.steady.setdefault(entry.candidate.name, {})[clip] = result
    watched = watch(data / "video" / CARS, entries, CALM_FPS)
    _alarms(got, entries, watched, range(watched.frames), CARS)
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
        called = f"{name} (reference)" if name == got.reference else name
        standing = [(clip, clips[clip]) for clip in STEADY]
        walking = (f"{WALKING} (walkers, not in the sum)", clips[WALKING])
        for clip, one in [*standing, ("both", got.overall(name)), walking]:
            flicker = "-" if one.flicker is None else f"{one.flicker:.1f} %"
            jitter = f"{one.jitter:.1f} %, {one.jumps:.1f} %" if one.moves else "-"
            rows.append(
                (
                    *(called, clip, str(one.persons), f"{one.seconds:.0f} s", str(one.frames)),
                    *(str(one.missing), str(one.doubled), flicker, jitter),
                )
            )
    headings = ("still", "time", "frames", "no box", "more boxes", "flicker", "jitter, jumps")
    return table(("model", "clip", *headings), rows)
