"""How much memory the server's container may use, and uses, as its control group says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

CGROUP = Path("/sys/fs/cgroup")  # of the container itself; version 2 of the interface


class MemoryLimitCollector(Collector):
    """Yields limit and use; nothing where there is no limit, as outside a container."""

    def __init__(self, folder: Path = CGROUP) -> None:
        self._folder = folder

    def describe(self) -> list[GaugeMetricFamily]:
        """Return the names."""
        return [_limit(), _used()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the control group."""
        try:
            limit = int((self._folder / "memory.max").read_text())
            used = int((self._folder / "memory.current").read_text())
            parts = (self._folder / "memory.stat").read_text().split()
        except (OSError, ValueError):  # no such file, or "max": there is no limit
            return
        # Files that could be dropped from memory at once don't count against the limit.
        counted = dict(zip(parts[::2], parts[1::2], strict=False))
        used -= int(counted.get("inactive_file", 0))
        for family, value in ((_limit(), limit), (_used(), used)):
            family.add_metric([], value)
            yield family


def _limit() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "sightline_memory_limit_bytes", "Memory that the server's container may use, if limited."
    )


def _used() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "sightline_memory_used_bytes", "What it uses of that, droppable files aside."
    )
