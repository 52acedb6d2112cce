"""Log lines that anybody can bring about, held to a pace."""

from __future__ import annotations

from collections.abc import Callable

from sightline_backend.pace import Pace


class Lines:
    """Writes lines as fast as each of its paces allows; the next says how many were left out."""

    def __init__(self, *paces: Pace) -> None:
        """A pace may be shared by several: then it holds for all of them together."""
        self._paces = paces
        self.left_out = 0

    def write(self, log: Callable[..., object], now_s: float, event: str, **facts: object) -> bool:
        """Have `log` write a line, unless there were too many; tell whether it was written."""
        if any(pace.wait_s(now_s) > 0 for pace in self._paces):
            self.left_out += 1
            return False
        for pace in self._paces:
            pace.count(now_s)
        more = {"left_out": self.left_out} if self.left_out else {}
        self.left_out = 0
        log(event, **facts, **more)
        return True
