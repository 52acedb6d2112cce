"""What the NVIDIA driver says of the GPUs, read at each scrape; nothing where there is none."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class GpuCollector(Collector):
    """Yields `gpu_utilization` for each GPU; `gpu` is its index on this machine."""

    def describe(self) -> list[GaugeMetricFamily]:
        """Return the names without asking the driver."""
        return [_family()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask the driver; yields nothing without NVML, a driver or a GPU."""
        shares = _busy_shares()
        if shares:
            family = _family()
            for gpu, share in shares.items():
                family.add_metric([str(gpu)], share)
            yield family


def _family() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "gpu_utilization", "Share of time the GPU was busy, 0 to 1.", labels=["gpu"]
    )


def _busy_shares() -> dict[int, float]:
    """Return each GPU's share of busy time; one that is lost or doesn't tell is left out."""
    try:
        import pynvml
    except ImportError:
        return {}
    try:
        pynvml.nvmlInit()  # counts its callers; costs nothing after the first time
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return {}
    shares: dict[int, float] = {}
    for index in range(count):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            shares[index] = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        except pynvml.NVMLError:
            continue
    return shares
