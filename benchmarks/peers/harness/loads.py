"""Which loads the peers are put under."""

from __future__ import annotations

from dataclasses import dataclass

SINGLE_FPS = 5.0
CAMERA_FPS = 5.0  # about; the rate is fitted so that the sum is right
FACTORS = (0.5, 1.0, 2.0)
LEAST_DEADLINE_MS = 33.0


@dataclass(frozen=True, slots=True)
class Load:
    """Streams that send at once."""

    name: str
    rates: tuple[float, ...]  # frames a second of each stream

    @property
    def fps(self) -> float:
        """Return the frames a second of all streams together."""
        return sum(self.rates)


def choose_loads(capacity_fps: float) -> tuple[Load, ...]:
    """Return one slow camera, then cameras that ask for 0.5, 1 and 2 times the capacity.

    `capacity_fps` is what a bare loop of the same work sustains on the same core.
    """
    if capacity_fps <= 0:
        raise ValueError(f"The bare loop's rate must be above 0, got {capacity_fps}.")
    loads = [Load("one stream", (SINGLE_FPS,))]
    for factor in FACTORS:
        total = factor * capacity_fps
        count = max(1, round(total / CAMERA_FPS))
        loads.append(Load(f"{factor:g}x", (round(total / count, 3),) * count))
    return tuple(loads)


def deadline_ms(bare_p50_ms: float) -> float:
    """Return the age up to which an answer counts: three bare runs, at least 33 ms."""
    return max(LEAST_DEADLINE_MS, 3 * bare_p50_ms)


def wait_ms(limit_ms: float, bare_p50_ms: float) -> float:
    """Return how long a request may wait and be in time yet, with a quarter run to spare.

    Peers with a limit on waiting are given this one: with the deadline itself they would
    run what is late already.
    """
    return max(limit_ms - 1.25 * bare_p50_ms, limit_ms / 10)
