"""The last quarter of an hour, for machines without Prometheus: a ring of readings."""

from __future__ import annotations

import asyncio
import logging
import time
from array import array
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from sightline_monitoring.figures import Figures, figures
from sightline_monitoring.reading import read
from sightline_monitoring.span import Reading, Span

EVERY_S = 2.0
LONGEST_S = 900.0
WINDOW_S = 10.0  # of rates and quantiles: long enough to be steady, short enough to be news
MOST_COLUMNS = 1000

_ABSENT = float("nan")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Point:
    """The figures at one time."""

    at_s: float
    figures: Figures


class History:
    """Readings of up to `longest_s`, as rows of plain floats, and the figures at each of them.

    `take` is for one thread at a time; the rest may be called from others meanwhile.
    """

    def __init__(self, every_s: float = EVERY_S, longest_s: float = LONGEST_S) -> None:
        self.every_s = every_s
        self.longest_s = longest_s
        most = int(longest_s / every_s) + 1
        self._columns: dict[str, int] = {}
        self._rows: deque[tuple[float, array[float]]] = deque(maxlen=most)
        self._points: deque[Point] = deque(maxlen=most)

    def take(self, at_s: float, reading: Reading) -> None:
        """Add a reading; `at_s` rises from one to the next, by any clock."""
        for name in reading:
            if name not in self._columns and len(self._columns) < MOST_COLUMNS:
                self._columns[name] = len(self._columns)
        row = array("d", (reading.get(name, _ABSENT) for name in self._columns))
        self._rows.append((at_s, row))
        self._points.append(Point(at_s, figures(self.span(WINDOW_S))))

    def points(self, seconds: float) -> list[Point]:
        """Return the figures of the last seconds, oldest first; none before the first reading."""
        points = list(self._points)
        return [point for point in points if point.at_s > points[-1].at_s - seconds]

    @property
    def latest_s(self) -> float | None:
        """When the newest reading was taken; None before the first."""
        return self._rows[-1][0] if self._rows else None

    @property
    def latest(self) -> Reading | None:
        """The newest reading; None before the first."""
        rows = list(self._rows)
        return self._reading(rows[-1][1]) if rows else None

    def span(self, seconds: float) -> Span:
        """Return what changed in the last seconds, or in as many of them as are known.

        A time without readings, such as a laptop's sleep, is in no span.
        """
        rows = list(self._rows)
        if not rows:
            return Span({}, {}, 0.0)
        newest_s, newest = rows[-1]
        since_s = newest_s - seconds - self.every_s / 2
        first_s, first = next(row for row in rows if row[0] >= since_s)
        return Span(self._reading(first), self._reading(newest), newest_s - first_s)

    def _reading(self, row: array[float]) -> Reading:
        # A name that came later is absent from older, shorter rows.
        return {
            name: value
            for name, value in zip(list(self._columns), row, strict=False)
            if value == value  # noqa: PLR0124  not a number: it was absent
        }


async def keep(
    history: History,
    registry: CollectorRegistry,
    run: Callable[[Callable[[], None]], Awaitable[None]],
) -> None:
    """Take readings until cancelled; `run` has them taken where drivers may make one wait.

    A reading that fails, or for which `run` raises TimeoutError because it hangs, is left out;
    the first of its kind is logged.
    """
    wrong: type[Exception] | None = None
    while True:
        try:
            await run(partial(_look, history, registry))
            wrong = None
        except Exception as error:  # the outermost loop of this task
            if type(error) is not wrong:
                log.exception("the metrics can't be read for the Monitor page")
            wrong = type(error)
        await asyncio.sleep(history.every_s)


def _look(history: History, registry: CollectorRegistry) -> None:
    reading = read(registry)
    history.take(time.monotonic(), reading)
