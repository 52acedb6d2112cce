"""What the machine says of itself at each scrape: processor, memory, disk, network."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LEAST_S = 1.0  # between two readings: shorter ones are mostly noise


class CpuShare:
    """The share of processor time in use between two readings, for several readers at once.

    `psutil.cpu_percent` keeps its last reading for each thread, and scrapes come on many.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_s = float("-inf")
        self._last = psutil.cpu_times()
        self._share = 0.0

    def read(self, now_s: float) -> float:
        """Return the share, 0 to 1, since the last reading that is a second old or older."""
        with self._lock:
            if now_s - self._at_s >= LEAST_S:
                times = psutil.cpu_times()
                self._share = _busy_share(self._last, times)
                self._at_s, self._last = now_s, times
            return self._share


def _busy_share(before: Any, after: Any) -> float:
    """Return the share of time between two of psutil's readings in which processors worked."""
    guest = ("guest", "guest_nice")  # counted in user and nice already
    spent = {f: getattr(after, f) - getattr(before, f) for f in after._fields if f not in guest}
    total = sum(spent.values())
    idle = spent["idle"] + spent.get("iowait", 0.0)
    return min(1.0, max(0.0, 1 - idle / total)) if total > 0 else 0.0


class HostCollector(Collector):
    """Yields the `sightline_host_*` metrics; `folder` is on the disk that is told of.

    In a container, processor and memory are the machine's, and the network is the container's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cpu = CpuShare()

    def describe(self) -> list[Metric]:
        """Return the names without asking the machine."""
        return [_cpu(), _memory(), _disk(), _network()]

    def collect(self) -> Iterator[Metric]:
        """Ask the machine; what it doesn't tell is left out."""
        cpu = _cpu()
        cpu.add_metric([], self._cpu.read(time.monotonic()))
        yield cpu
        memory, used = _memory(), psutil.virtual_memory()
        memory.add_metric(["total"], used.total)
        memory.add_metric(["available"], used.available)
        yield memory
        if (space := _space(self._folder)) is not None:
            disk = _disk()
            disk.add_metric(["total"], space[0])
            disk.add_metric(["free"], space[1])
            yield disk
        if (traffic := psutil.net_io_counters()) is not None:
            network = _network()
            network.add_metric(["sent"], traffic.bytes_sent)
            network.add_metric(["received"], traffic.bytes_recv)
            yield network


def _space(folder: Path) -> tuple[int, int] | None:
    """Return total and free bytes of the disk that `folder` is, or will be, on."""
    for place in (folder, *folder.parents):
        try:
            usage = psutil.disk_usage(str(place))
        except OSError:
            continue
        return usage.total, usage.free
    return None


def _cpu() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "sightline_host_cpu_utilization",
        "Share of the machine's processor time in use since the reading before, 0 to 1.",
    )


def _memory() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "sightline_host_memory_bytes",
        "The machine's memory; available: what programs can still get without swapping.",
        labels=["state"],
    )


def _disk() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "sightline_host_disk_bytes", "The disk of the models' folder.", labels=["state"]
    )


def _network() -> CounterMetricFamily:
    return CounterMetricFamily(
        "sightline_host_network_bytes", "Bytes over all network cards.", labels=["direction"]
    )
