"""A job of this process, from its place in line to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from sightline_backend.jobs.job import Job, State
from sightline_backend.jobs.running import RunningJob


@dataclass(slots=True, eq=False)
class Life:
    """A job of ours that waits or runs."""

    job: Job
    running: RunningJob
    task: asyncio.Task[None] | None = None
    began_s: float | None = None
    stopped_as: State | None = None  # why it was told to end
    ending: bool = False

    @property
    def is_pipeline(self) -> bool:
        """Whether it does nothing itself: its children do."""
        return self.job.kind == "pipeline"

    def silence_s(self, now_s: float) -> float:
        """Return how long it has told nothing; 0 while it doesn't run."""
        if self.began_s is None or self.ending:
            return 0.0
        return max(0.0, now_s - max(self.began_s, self.running.told_s))

    def stop(self, state: State) -> None:
        """Have it end in that state; a second call changes nothing."""
        if self.stopped_as is None and not self.ending and self.task is not None:
            self.stopped_as = state
            # Behind the task's first step: cancelled before that it could write nothing.
            self.task.get_loop().call_soon(self.task.cancel)


async def all_done(lives: Collection[Life]) -> None:
    """Wait until these have ended."""
    tasks = [life.task for life in lives if life.task is not None]
    if tasks:
        await asyncio.wait(tasks)
