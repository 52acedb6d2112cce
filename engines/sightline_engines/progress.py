"""How long-running work says how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[float, str], None]  # share done, 0..1, and what is being done


def quiet(share: float, doing: str) -> None:
    """Tell nobody."""


def part(progress: Progress, begin: float, end: float) -> Progress:
    """Return what tells the progress of one step that takes the whole from `begin` to `end`."""

    def tell(share: float, doing: str) -> None:
        progress(begin + (end - begin) * min(1.0, max(0.0, share)), doing)

    return tell
