"""What is wrong with the machine and its GPUs; each of it is worth a ticket."""

from __future__ import annotations

from collections.abc import Iterator

from sightline_monitoring.figures import Figures
from sightline_monitoring.span import ratio

GPU_FULL = 0.95  # GpuSaturated, GpuMemoryNearlyFull
NEAR_SLOWDOWN_C = 5  # GpuHot
MEMORY_LEFT = 0.1  # HostMemoryLow
MEMORY_LIMIT = 0.9  # MemoryLimitNear
DISK_LEFT, DISK_LEFT_BYTES = 0.1, 20e9  # HostDiskNearlyFull
OPEN_FILES = 0.8  # FileDescriptorsLow


def machine_trouble(now: Figures) -> Iterator[tuple[str, str]]:
    """Yield a code and a sentence for everything that is wrong."""
    yield from _gpu(now)
    yield from _memory(now)
    free, left = now.disk_free_bytes, ratio(now.disk_free_bytes, now.disk_total_bytes)
    if free is not None and free < DISK_LEFT_BYTES and left is not None and left < DISK_LEFT:
        yield "disk", f"{free / 1e9:.1f} GB are free on the disk of the models."
    if (now.open_files_share or 0.0) > OPEN_FILES:
        words = f"{now.open_files_share:.0%} of the files that the server may open are open."
        yield "open_files", words


def _gpu(now: Figures) -> Iterator[tuple[str, str]]:
    heat, slowdown = now.gpu_celsius, now.gpu_slowdown_celsius
    if heat is not None and slowdown is not None and heat > slowdown - NEAR_SLOWDOWN_C:
        yield "gpu_hot", f"The GPU is at {heat:.0f} °C; at {slowdown:.0f} °C it slows itself down."
    if (now.gpu_share or 0.0) > GPU_FULL:
        words = f"The GPU is busy {now.gpu_share:.0%} of the time: there is no room for more."
        yield "gpu_full", words
    full = ratio(now.gpu_memory_bytes, now.gpu_memory_total_bytes)
    if full is not None and full > GPU_FULL:
        yield "gpu_memory", f"{full:.0%} of the GPU's memory is in use."


def _memory(now: Figures) -> Iterator[tuple[str, str]]:
    used = ratio(now.host_memory_bytes, now.host_memory_total_bytes)
    if used is not None and used > 1 - MEMORY_LEFT:
        yield "memory", f"{1 - used:.0%} of the machine's memory is left."
    used = ratio(now.memory_used_bytes, now.memory_limit_bytes)
    if used is not None and used > MEMORY_LIMIT:
        yield "memory_limit", f"{used:.0%} of the memory that the server may use is in use."
