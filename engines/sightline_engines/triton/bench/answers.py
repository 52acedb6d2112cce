"""What came back of the requests that were sent, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Times: TypeAlias = NDArray[np.float64]  # (n, 3): due, sent, ended; seconds, monotonic clock
Failed: TypeAlias = tuple[float, str, str]  # ended, kind, what was told


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Requests that ended, in no order."""

    times: Times  # of those that were answered
    failed: tuple[Failed, ...] = ()

    @property
    def latencies_ms(self) -> NDArray[np.float64]:
        """From when each was due to when its answer was there."""
        return (self.times[:, 2] - self.times[:, 0]) * 1e3

    @property
    def last_s(self) -> float | None:
        """When the last answer came."""
        return float(self.times[:, 2].max()) if len(self.times) else None

    def split(self, end_s: float) -> tuple[Answers, Answers]:
        """Return what had ended by a time, and what ended after it."""
        early = self.times[:, 2] <= end_s
        return (
            Answers(self.times[early], tuple(one for one in self.failed if one[0] <= end_s)),
            Answers(self.times[~early], tuple(one for one in self.failed if one[0] > end_s)),
        )


def joined(parts: Iterable[Answers]) -> Answers:
    """Return several as one."""
    found = list(parts)
    times = np.concatenate([np.empty((0, 3)), *(one.times for one in found)])
    return Answers(times, tuple(failed for one in found for failed in one.failed))
