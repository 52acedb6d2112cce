"""Who wants to know how jobs end: metrics."""

from __future__ import annotations

from typing import Protocol

from sightline_backend.jobs.job import State
from sightline_backend.jobs.requests import Kind


class JobObserver(Protocol):
    """Told on the event loop, so it must not block."""

    def job_ended(self, kind: Kind, result: State, seconds: float) -> None:
        """Note an end; the seconds are those that it ran, 0 if it never did."""
        ...
