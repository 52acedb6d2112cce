"""A part of engine time that a class of work is sure of, whatever else waits."""

from __future__ import annotations

MOST_S = 0.5  # saved up or owed, lest a class takes the engine, or is kept from it, for long


class Share:
    """Earns time while its work waits, and pays with it when that work runs."""

    def __init__(self, part: float) -> None:
        self._part = part  # of engine time, 0..1
        self.credit_s = 0.0

    def account(self, seconds: float, used_s: float, waiting: bool) -> None:
        """Count a batch of `seconds`, `used_s` of it for this class's work."""
        if not waiting:
            self.credit_s = 0.0
            return
        credit_s = self.credit_s + self._part * seconds - used_s
        self.credit_s = min(max(-MOST_S, credit_s), MOST_S)
