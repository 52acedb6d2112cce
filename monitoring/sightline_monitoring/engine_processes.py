"""Memory and processor time of the engines' own processes, added up at each scrape."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class EngineProcessCollector(Collector):
    """Yields what the processes named by `pids` use; none where engines run in threads."""

    def __init__(self, pids: Callable[[], Sequence[int]]) -> None:
        self._pids = pids
        self._cpu_s = 0.0  # of all engines, those that have ended included
        self._last_s: dict[int, float] = {}
        self._lock = threading.Lock()  # two scrapes may come at once

    def describe(self) -> list[Metric]:
        """Return the names."""
        return [_memory(), _cpu()]

    def collect(self) -> Iterator[Metric]:
        """Ask the system about each process; one that has just ended is left out."""
        memory, cpu = _memory(), _cpu()
        with self._lock:
            memory.add_metric([], self._read())
            cpu.add_metric([], self._cpu_s)
        yield memory
        yield cpu

    def _read(self) -> int:
        """Add up the processor time used since the last call; returns the memory in bytes."""
        resident, pids = 0, self._pids()
        last_s = {pid: self._last_s.get(pid, 0.0) for pid in pids}
        for pid in pids:
            try:
                process = psutil.Process(pid)
                times = process.cpu_times()
                spent_s = times.user + times.system
                self._cpu_s += max(0.0, spent_s - last_s[pid])
                last_s[pid] = spent_s
                resident += process.memory_info().rss
            except psutil.Error:  # it has just ended; what it used until the last scrape counts
                continue
        self._last_s = last_s
        return resident


def _memory() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "sightline_engine_memory_bytes", "Resident memory of the engines' processes."
    )


def _cpu() -> CounterMetricFamily:
    return CounterMetricFamily(
        "sightline_engine_cpu_seconds", "Processor time of the engines' processes."
    )
