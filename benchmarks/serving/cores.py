"""Which processor cores the server and the load generator have."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cores:
    """The last core sends, the others serve; empty: this system can't pin processes."""

    server: tuple[int, ...]
    generator: int | None

    def __str__(self) -> str:
        if self.generator is None:
            return "The system can't pin processes: server and load generator share all cores."
        served = ", ".join(str(core) for core in self.server)
        if self.generator in self.server:
            return "There is one core: server and load generator share it."
        return (
            f"The load generator has core {self.generator} to itself; the server and every "
            f"baseline run on core{'s' * (len(self.server) > 1)} {served}. Nothing is subtracted."
        )


def share_out(cores: Sequence[int]) -> Cores:
    """Give the last core to the load generator and the others to the server."""
    if not cores:
        return Cores((), None)
    return Cores(tuple(cores[:-1]) or tuple(cores), cores[-1])


def own_cores() -> list[int]:
    """Return the cores that this process may use; none where the system can't say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Have the processes that are started in the block run on these cores alone.

    They take this thread's cores over, so that they are never anywhere else, not even while
    they start: a runtime counts the cores once.
    """
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
