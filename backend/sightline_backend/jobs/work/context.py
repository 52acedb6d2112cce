"""What a job's work is given: its folder, the store, and somebody to report to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sightline_backend.store.store import Store


class Report(Protocol):
    """Tells how far the work is; may be called from any thread, as often as it likes."""

    def progress(self, share: float, doing: str) -> None:
        """Say what share is done, 0..1, and what is being done."""
        ...

    def log(self, line: str) -> None:
        """Add a line to the job's log; what is printed goes there, too."""
        ...

    def partial(self, result: dict[str, Any]) -> None:
        """Keep a result so far: it stays if the job fails or is cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """The server's settings that a job's work needs."""

    data_dir: Path | None = None
    allow_pickle: bool = False
    job_timeout_s: float = 6 * 3600
    max_model_bytes: int = 2**30
    threads: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class JobWork:
    """Handed to `run(request, work)`, which returns the job's result: a dict that JSON can hold.

    A SightlineError that it raises becomes the job's error. Work ends by SIGTERM when the job is
    cancelled, and by SIGKILL three seconds later, so nothing half-made may be visible at any time.
    """

    job_id: int
    store: Store
    folder: Path  # the job's own, empty at first, deleted at its end
    report: Report
    settings: WorkSettings
