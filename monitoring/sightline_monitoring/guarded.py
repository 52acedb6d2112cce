"""A collector that fails takes nothing but its own metrics away."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from prometheus_client import Metric
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)


class Described(Protocol):
    """A collector that knows its names without asking anything."""

    def describe(self) -> Iterable[Metric]: ...

    def collect(self) -> Iterable[Metric]: ...


class Guarded(Collector):
    """Yields what another collector does, and nothing while that fails."""

    def __init__(self, collector: Described) -> None:
        self._collector = collector
        self._failing = False

    def describe(self) -> Iterable[Metric]:
        """Return the other's names."""
        return self._collector.describe()

    def collect(self) -> Iterable[Metric]:
        """Ask the other; its first failure is logged, until it has worked again."""
        try:
            metrics = list(self._collector.collect())
        except Exception:  # a driver's or a system's; a scrape must not end with it
            if not self._failing:
                log.exception("%s can't be read", type(self._collector).__name__)
            self._failing = True
            return []
        self._failing = False
        return metrics
