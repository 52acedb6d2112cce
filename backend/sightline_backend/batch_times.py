"""How long an engine takes for a batch of each size: measured once, then kept up to date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PER_FRAME_FLOOR_S = 0.005
OUTLIER = 3.0  # no run counts for more than this many times its expectation


@dataclass(slots=True)
class _Estimate:
    mean_s: float
    deviation_s: float


class BatchTimes:
    """Running mean and deviation of engine time by batch size.

    Smoothed as TCP smooths round-trip times (RFC 6298): a static-shape detector's time is
    predictable, and what isn't shows up in the deviation. One run counts for at most three
    times its expectation, so that a single stall doesn't change the plan; an engine that has
    really become slower is still followed within some runs. What each frame costs beside the
    engine, decoding above all, is kept apart: it is the same in a batch of any size.
    """

    def __init__(self, measured_s: Mapping[int, float], per_frame_s: float = 0.0) -> None:
        """Start from times in seconds measured when the engine loaded; size 1 is required."""
        if 1 not in measured_s or any(s < 1 or t < 0 for s, t in measured_s.items()):
            raise ValueError(f"times need size 1 and no negatives, got {dict(measured_s)}")
        self._known = {size: _Estimate(t, 0.0) for size, t in sorted(measured_s.items())}
        self._per_frame_s = per_frame_s

    @property
    def largest(self) -> int:
        """The largest batch that was measured; none larger is ever formed."""
        return max(self._known)

    def observe(self, size: int, engine_s: float, per_frame_s: float = 0.0) -> None:
        """Take one more run into account: the engine's time, and each frame's beside it."""
        limit_s = OUTLIER * (engine_s if size not in self._known else self._known[size].mean_s)
        per_frame_s = min(per_frame_s, max(OUTLIER * self._per_frame_s, PER_FRAME_FLOOR_S))
        self._per_frame_s += (per_frame_s - self._per_frame_s) / 8
        known = self._known.get(size)
        if known is None:
            self._known[size] = _Estimate(min(engine_s, OUTLIER * self._engine_s(size)), 0.0)
            self._known = dict(sorted(self._known.items()))
            return
        error = min(engine_s, limit_s) - known.mean_s
        known.deviation_s += (abs(error) - known.deviation_s) / 4
        known.mean_s += error / 8

    def mean(self, size: int) -> float:
        """Return the expected seconds of a batch; sizes never run are interpolated."""
        return self._engine_s(size) + size * self._per_frame_s

    def cautious(self, size: int) -> float:
        """Return seconds that most runs stay under: the mean and twice the deviation."""
        return self._engine_s(size, 2.0) + size * self._per_frame_s

    def likely(self, size: int) -> float:
        """Return seconds that most runs stay under, and at most half more than the mean.

        However much the times scatter, a frame with that long left is worth a try.
        """
        return min(self.cautious(size), 1.5 * self.mean(size))

    def best_size(self) -> int:
        """Return the smallest size that gives, within 2 %, the best frames per second.

        Where batching gains less than 5 %, as on most CPUs, this is 1 and no frame ever
        waits for another.
        """
        per_frame = {size: known.mean_s / size for size, known in self._known.items()}
        best = min(per_frame.values())
        if per_frame[1] <= best * 1.05:
            return 1
        return next(size for size, seconds in per_frame.items() if seconds <= best * 1.02)

    def best_fps(self, most: int) -> float:
        """Return the frames a second of back-to-back batches of at most `most`, at their best."""
        sizes = [size for size in self._known if size <= most]
        return max(size / max(self.mean(size), 1e-6) for size in sizes)

    def _engine_s(self, size: int, deviations: float = 0.0) -> float:
        def at(known_size: int) -> float:
            known = self._known[known_size]
            return known.mean_s + deviations * known.deviation_s

        if size in self._known:
            return at(size)
        below = max((s for s in self._known if s < size), default=None)
        above = min((s for s in self._known if s > size), default=None)
        if below is None or above is None:
            nearest = above if below is None else below
            assert nearest is not None  # noqa: S101  there is always size 1
            return at(nearest) * size / nearest
        share = (size - below) / (above - below)
        return at(below) + share * (at(above) - at(below))
