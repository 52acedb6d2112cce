"""A running job's state on its way into the database: often enough to watch, seldom enough."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from functools import partial
from typing import Any

from sightline_backend.errors import StoreError
from sightline_backend.jobs.events import Hub
from sightline_backend.jobs.follow import Ask
from sightline_backend.jobs.job import State
from sightline_backend.jobs.records import JobRecords

WRITE_EVERY_S = 0.25
LINES_AT_ONCE = 1000  # of a job that prints faster the lines between are left out

log = logging.getLogger(__name__)


class RunningJob:
    """Keeps the newest state of one job, and writes it four times a second while it changes."""

    def __init__(self, job_id: int, owner: str, records: JobRecords, hub: Hub, ask: Ask) -> None:
        self.job_id = job_id
        self._owner = owner
        self._records = records
        self._hub = hub
        self._ask = ask
        self._changes: dict[str, Any] = {}
        self._lines: deque[str] = deque(maxlen=LINES_AT_ONCE)
        self._left_out = 0
        self._something = asyncio.Event()
        self.told_s = 0.0  # when the job last said anything; `time.monotonic()`

    def progress(self, share: float, doing: str) -> None:
        """Note how far it is."""
        self.told_s = time.monotonic()
        self.change(progress=share, doing=doing)

    def partial(self, result: dict[str, Any]) -> None:
        """Note a result so far."""
        self.told_s = time.monotonic()
        self.change(result=result)

    def line(self, text: str) -> None:
        """Add to the log."""
        self.told_s = time.monotonic()
        self._left_out += len(self._lines) == LINES_AT_ONCE
        self._lines.append(text)
        self._something.set()

    def change(self, **values: Any) -> None:
        """Have values written."""
        self._changes |= values
        self._something.set()

    async def keep_writing(self) -> None:
        """Write changes as they come, until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            changes, self._changes = self._changes, {}
            lines = self._taken_lines()
            try:
                job = await self._ask(
                    partial(self._records.note, self.job_id, self._owner, changes, lines)
                )
            except StoreError as error:
                log.warning("job %d: %s", self.job_id, error.message)
                self._changes = changes | self._changes  # with what comes next
                self._lines = deque([*lines, *self._lines], LINES_AT_ONCE)
                self._something.set()
                await asyncio.sleep(1.0)
            else:
                if job is not None:
                    self._hub.publish(job)
            await asyncio.sleep(WRITE_EVERY_S)

    async def end(self, state: State, error: dict[str, Any] | None) -> bool:
        """Write the last of everything and how it ended; False where that can't be stored now."""
        changes, lines = {**self._changes, "error": error}, self._taken_lines()
        ending = partial(self._records.end, self.job_id, self._owner, state, changes, lines)
        try:
            job = await self._ask(
                lambda: ending() or next(iter(self._records.some([self.job_id])), None)
            )
        except StoreError as trouble:
            log.warning("the end of job %d: %s", self.job_id, trouble.message)
            self._lines.extend(lines)
            return False
        if job is not None:
            self._hub.publish(job)
        return True

    def _taken_lines(self) -> list[str]:
        lines = list(self._lines)
        if self._left_out:
            lines.insert(0, f"… {self._left_out} lines left out …")
        self._lines.clear()
        self._left_out = 0
        return lines
