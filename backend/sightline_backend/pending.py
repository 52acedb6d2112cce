"""A frame in the batcher's hands."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sightline_backend.batch import NotRun, Outcome, Work
from sightline_backend.observer import Observer


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A frame in the batcher's hands, and who waits for its outcome."""

    work: Work
    future: asyncio.Future[Outcome]
    counted: bool = True  # False: a frame of our own

    @classmethod
    def of(cls, work: Work, counted: bool = True) -> Pending:
        """Return a frame whose outcome can be waited for."""
        return cls(work, asyncio.get_running_loop().create_future(), counted)

    def end(self, outcome: Outcome, observer: Observer) -> None:
        """Give the frame its one outcome."""
        if self.future.done():  # its client has gone and it was cancelled
            outcome = NotRun("closing")
        else:
            self.future.set_result(outcome)
        if self.counted:
            observer.frame_ended(self.work, outcome)
