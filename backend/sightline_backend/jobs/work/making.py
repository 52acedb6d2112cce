"""A conversion as a step of another job: the convert job's own code, with its own folder."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sightline_backend.jobs.requests import ConvertRequest
from sightline_backend.jobs.work import convert
from sightline_backend.jobs.work.context import JobWork, Report
from sightline_engines.progress import Progress


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Reports a step's progress as part of the job's."""

    whole: Report
    tell: Progress

    def progress(self, share: float, doing: str) -> None:
        """Say what share of the step is done."""
        self.tell(share, doing)

    def log(self, line: str) -> None:
        """Add a line to the job's log."""
        self.whole.log(line)

    def partial(self, result: dict[str, Any]) -> None:
        """Leave the job's own result as it is."""


def make(request: ConvertRequest, work: JobWork, progress: Progress) -> int:
    """Return the artefact that is what is asked for, made if it isn't there yet.

    Raises SightlineError.
    """
    folder = Path(tempfile.mkdtemp(prefix="making-", dir=work.folder))
    step = replace(work, folder=folder, report=_Step(work.report, progress))
    return int(convert.run(request, step)["artefact_id"])
