"""The detector's figures of the last minutes, as /api/monitor tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong; severity: page, ticket or note."""

    code: str
    severity: str
    message: str


@dataclass(frozen=True, slots=True)
class Figures:
    """The newest figures, their last minutes, and what is wrong; None: there was nothing."""

    status: str  # healthy, idle, or the code of the worst trouble
    trouble: Sequence[Trouble]
    now: Mapping[str, float | None]
    times: Sequence[float]  # Unix seconds, oldest first
    series: Mapping[str, Sequence[float | None]]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read an answer of /api/monitor; raises KeyError or TypeError."""
        return cls(
            status=str(data["status"]),
            trouble=tuple(
                Trouble(str(one["code"]), str(one["severity"]), str(one["message"]))
                for one in data["trouble"]
            ),
            now=dict(data["now"]),
            times=tuple(data["times"]),
            series=dict(data["series"]),
        )

    def known(self, name: str) -> bool:
        """Tell whether this detector's machine has such a figure at all."""
        return any(value is not None for value in self.series.get(name, ()))

    def over_time(self, name: str, factor: float = 1.0) -> list[float | None]:
        """Return a figure at each of `times`, times a factor."""
        values = self.series.get(name) or [None] * len(self.times)
        return [None if value is None else value * factor for value in values]
