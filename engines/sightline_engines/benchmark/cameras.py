"""How many cameras a configuration carries: a small simulation, the same at every call."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sightline_engines.benchmark.spread import Spread

PROMISABLE = 0.8  # share of its throughput that the server promises to cameras
MOST_CAMERAS = 4095  # that are counted
_SHARES = (0.0, 0.5, 0.9, 0.95, 0.99, 1.0)  # the faster half of the runs counts as its slowest
_PERIODS = 3  # that are simulated; the first fills the queue and isn't counted
_FRAMES = 1600  # a period, of all draws together
_MOST_DRAWS = 200  # of where in its period each camera sends
_SEED = 15


@dataclass(frozen=True, slots=True)
class Carrier:
    """What runs frames: engines side by side, and how long a run of theirs takes."""

    runs: Mapping[int, Spread]  # by pictures a run, as measured; the largest is the batch
    instances: int
    fps: float  # of all instances together

    def points(self, pictures: int) -> list[float]:
        """Return the times at `_SHARES` of a run; between measured batches in proportion."""
        batches = sorted(self.runs)
        spreads = [self.runs[batch] for batch in batches]
        p50, p90, p95, p99 = (
            float(np.interp(pictures, batches, [getattr(s, name) for s in spreads]))
            for name in ("p50", "p90", "p95", "p99")
        )
        return [p50, p50, p90, p95, p99, p99]


@dataclass(frozen=True, slots=True)
class Carried:
    """How many cameras are carried, and what more of them would meet."""

    cameras: int
    promisable: int  # what `PROMISABLE` of the throughput would carry
    late: float  # share of their frames
    late_with_more: float | None  # with one camera more; None: the throughput ends it


def carried(
    carrier: Carrier, camera_fps: float, deadline_ms: float, late_allowed: float
) -> Carried:
    """Return the most cameras of which no more frames are late than allowed.

    A longer deadline never gives fewer.
    """
    # The rounding: 0.8 * 75 / 15 is 4.000…, not 3.999….
    promisable = int(min(MOST_CAMERAS, carrier.fps * PROMISABLE / camera_fps + 1e-9))

    def late(cameras: int) -> float:
        return late_share(carrier, cameras, camera_fps, deadline_ms)

    cameras, bit = 0, (MOST_CAMERAS + 1) // 2
    # From fixed steps: a longer deadline passes each step that a shorter one does.
    while bit:
        more = cameras + bit
        if more <= promisable and late(more) <= late_allowed:
            cameras = more
        bit //= 2
    return Carried(
        cameras,
        promisable,
        late(cameras),
        late(cameras + 1) if cameras < promisable else None,
    )


def late_share(carrier: Carrier, cameras: int, camera_fps: float, deadline_ms: float) -> float:
    """Return the share of frames that are later than their deadline, 0..1.

    Each camera sends one a period, from a random moment on. Frames are run in the order in
    which they come, as many at once as wait and the batch takes.
    """
    period_ms = 1000 / camera_fps
    batch = max(carrier.runs)
    slowest = max(spread.p99 for spread in carrier.runs.values())
    # Even if all came at once: the runs under way, those before it, its own. Saves the simulation.
    worst_ms = slowest * (2 + cameras / (batch * carrier.instances))
    if not cameras or worst_ms <= min(deadline_ms, period_ms):
        return 0.0
    draws = max(1, min(_MOST_DRAWS, _FRAMES // cameras))
    rng = np.random.default_rng(_SEED)
    late = 0
    for phases in _phases(draws, cameras, rng):
        luck = rng.random(cameras * _PERIODS)  # of each run
        arrivals = (np.sort(phases) + np.arange(_PERIODS)[:, None]).ravel() * period_ms
        waited = _ends(carrier, arrivals.tolist(), luck) - arrivals
        late += int(np.count_nonzero(waited[cameras:] > deadline_ms + 1e-6))
    return late / (draws * cameras * (_PERIODS - 1))


def _phases(draws: int, cameras: int, rng: np.random.Generator) -> np.typing.NDArray[np.float64]:
    """Return (draws, cameras) moments, 0..1 of a period, those of each camera evenly spread."""
    places = np.tile(np.arange(draws, dtype=np.float64)[:, None], (1, cameras))
    phases: np.typing.NDArray[np.float64] = rng.permuted(places, axis=0)
    phases = (phases + rng.random((draws, cameras))) / draws
    phases[:, 0] = 0.0  # only what lies between them counts
    return phases


def _ends(
    carrier: Carrier, arrivals: list[float], luck: np.typing.NDArray[np.float64]
) -> np.typing.NDArray[np.float64]:
    """Return when each frame's run ends."""
    batch = max(carrier.runs)
    times: dict[int, list[float]] = {}  # by pictures a run, of each run
    free = [0.0] * carrier.instances
    ends: list[float] = []
    count, run = len(arrivals), 0
    while len(ends) < count:
        first = len(ends)
        start = max(free[0], arrivals[first])
        last = first + 1
        while last < count and last - first < batch and arrivals[last] <= start:
            last += 1
        taken = last - first
        if taken not in times:
            times[taken] = np.interp(luck, _SHARES, carrier.points(taken)).tolist()
        end = start + times[taken][run]
        heapq.heapreplace(free, end)
        ends += [end] * taken
        run += 1
    return np.array(ends)
