"""The detector's figures of the last minutes, as /api/monitor tells them."""

from __future__ import annotations

import math
from collections.abc import ItemsView, Mapping, Sequence
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
        """Read an answer of /api/monitor; raises KeyError, TypeError, ValueError or
        OverflowError.
        """
        times = tuple(_number(at) for at in data["times"])
        series = {
            str(name): tuple(_figure(value) for value in values)
            for name, values in _items(data["series"])
        }
        if any(len(values) != len(times) for values in series.values()):
            raise ValueError("a series has more or fewer figures than there are times")
        return cls(
            status=_code(data["status"]),
            trouble=tuple(
                Trouble(_code(one["code"]), _code(one["severity"]), str(one["message"]))
                for one in data["trouble"]
            ),
            now={str(name): _figure(value) for name, value in _items(data["now"])},
            times=times,
            series=series,
        )

    def known(self, name: str) -> bool:
        """Tell whether this detector's machine has such a figure at all."""
        return any(value is not None for value in self.series.get(name, ()))

    def over_time(self, name: str, factor: float = 1.0) -> list[float | None]:
        """Return a figure at each of `times`, times a factor."""
        values = self.series.get(name) or [None] * len(self.times)
        return [None if value is None else value * factor for value in values]


def _items(data: Any) -> ItemsView[Any, Any]:
    if not isinstance(data, dict):
        raise TypeError(f"expected names with figures, got {type(data).__name__}")
    return data.items()


def _figure(value: Any) -> float | None:
    return None if value is None else _number(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a number, got {value!r}")
    return float(value)


def _code(value: Any) -> str:
    """Return a word that pages may show as it is."""
    if not isinstance(value, str) or not value.isidentifier():
        raise ValueError(f"expected a word, got {value!r}")
    return value
