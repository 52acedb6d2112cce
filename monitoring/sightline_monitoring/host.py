"""What the machine says of itself at each scrape: processor, memory, disk, network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class HostCollector(Collector):
    """Yields the `sightline_host_*` metrics; `folder` is on the disk that is told of.

    In a container, processor and memory are the machine's, and the network is the container's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self) -> list[Metric]:
        """Return the names without asking the machine."""
        return [_cpu(), _memory(), _disk(), _network()]

    def collect(self) -> Iterator[Metric]:
        """Ask the machine; what it doesn't tell is left out."""
        cpu = _cpu()
        # Since the last call, whoever made it: with two scrapers each sees a part of the time.
        cpu.add_metric([], psutil.cpu_percent(interval=None) / 100)
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
        "Share of the machine's processor time in use since the last scrape, 0 to 1.",
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
