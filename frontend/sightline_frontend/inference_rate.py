"""How fast counts grow that are read every now and then."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

SPAN_S = 10.0
_SPILL = 2  # tries that were counted before they are told of, or after


class InferenceRates:
    """Pictures a second over the last ten seconds, by model."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, deque[tuple[float, int, int]]] = defaultdict(deque)
        self._told: dict[str, set[str]] = {}  # tries at the last reading

    def note(self, name: str, count: int, now_s: float, tried: Sequence[str] = ()) -> float | None:
        """Take a count and return the rate; None with nothing to compare it with.

        `tried` names the last tries whether it answers; where nobody asks more often than those
        the rate is 0. A count that shrinks is of a model that was loaded anew.
        """
        seen = self._seen[name]
        if seen and count < seen[-1][1]:
            seen.clear()
        tries = (seen[-1][2] if seen else 0) + len(set(tried) - self._told.get(name, set()))
        self._told[name] = set(tried)
        seen.append((now_s, count, tries))
        while seen[0][0] < now_s - SPAN_S and len(seen) > 2:
            seen.popleft()
        then_s, before, tried_before = seen[0]
        if now_s <= then_s:
            return None
        ours = tries - tried_before
        if tried and count - before <= ours + _SPILL:
            return 0.0
        return (count - before) / (now_s - then_s)
