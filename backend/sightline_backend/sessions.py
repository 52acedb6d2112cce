"""The live streams that are open, so that they can be counted and ended together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from sightline_backend.ending import STOPPING
from sightline_backend.errors import Refused
from sightline_backend.lines import Lines
from sightline_backend.pace import Pace
from sightline_backend.session import Session

# Log lines of all streams together: each of them may have something to say at the same time.
FRAME_LINES_PER_S, FRAME_LINES_AT_ONCE = 10.0, 30  # about single frames
REFUSALS_PER_S, REFUSALS_AT_ONCE = 1.0, 10  # of streams; the metrics count them all


class Sessions:
    """All open sessions of one server, and how much they all together may log."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[Session] = set()
        self._none_left = asyncio.Event()
        self.stopping = False
        self.frame_pace = Pace(FRAME_LINES_PER_S, FRAME_LINES_AT_ONCE)
        self.refusals = Lines(Pace(REFUSALS_PER_S, REFUSALS_AT_ONCE))

    def __len__(self) -> int:
        return len(self._open)

    def check_room(self) -> None:
        """Raise Refused when a further stream can't be taken."""
        if self.stopping:
            raise Refused("The server is stopping; connect again in a moment.", 5.0, "closing")
        if len(self._open) >= self._most:
            raise Refused(f"All {self._most} streams are in use; try again later.", 5.0, "streams")

    @contextmanager
    def holding(self, session: Session) -> Iterator[None]:
        """Count a session as open for the length of a block."""
        self._open.add(session)
        try:
            yield
        finally:
            self._open.discard(session)
            if not self._open:
                self._none_left.set()

    async def stop(self, timeout_s: float) -> None:
        """End every stream with the code for a server that stops; wait until they are closed."""
        self.stopping = True
        if not self._open:
            return
        self._none_left.clear()
        for session in self._open:
            session.end(STOPPING)
        try:
            async with asyncio.timeout(timeout_s):
                await self._none_left.wait()
        except TimeoutError:
            return  # the server cuts what is left
