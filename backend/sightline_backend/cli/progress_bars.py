"""Jobs on the terminal: a bar each, or plain lines where nobody watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from sightline_backend.cli.console import stderr
from sightline_backend.jobs.job import Job

_STYLES = {"done": "green", "failed": "red", "cancelled": "yellow", "interrupted": "yellow"}


class JobBars:
    """Draws each job that it hears of."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._tasks: dict[int, TaskID] = {}
        self._said: dict[int, str] = {}

    def show(self, job: Job) -> None:
        """Draw a job as it is now."""
        if self._progress is None:
            self._say(job)
        else:
            self._draw(self._progress, job)

    def _draw(self, progress: Progress, job: Job) -> None:
        if job.id not in self._tasks:
            self._tasks[job.id] = progress.add_task(job.title, total=1.0, doing="")
        style = _STYLES.get(job.state, "")
        indent = "  " if job.parent_id else ""
        said = escape(_doing(job))
        progress.update(
            self._tasks[job.id],
            completed=job.progress,
            description=indent + escape(job.title),
            doing=f"[{style}]{said}[/]" if style else said,
        )
        if job.ended:
            progress.stop_task(self._tasks[job.id])

    def _say(self, job: Job) -> None:
        """Write a line where the state or what is being done has changed, other than in figures.

        A pipeline does what its children do, so it tells of its state alone.
        """
        said = job.state if job.kind == "pipeline" else _doing(job)
        kind_of = "".join(c for c in said if not c.isdigit())
        if self._said.get(job.id) != kind_of:
            self._said[job.id] = kind_of
            line = f"{job.progress:4.0%}  {job.title}: {said}"
            stderr.print(line, markup=False, soft_wrap=True)


@contextmanager
def job_bars() -> Iterator[JobBars]:
    """Show jobs during the block; on stderr, so that results can be piped."""
    if not stderr.is_terminal:
        yield JobBars(None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[doing]}"),
    )
    with Progress(*columns, console=stderr) as progress:
        yield JobBars(progress)


def _doing(job: Job) -> str:
    if job.state == "running":
        return job.doing or "running"
    if job.state == "queued":
        return "waits for its turn"
    return job.state
