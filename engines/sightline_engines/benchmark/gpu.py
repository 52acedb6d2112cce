"""What an NVIDIA GPU does meanwhile, by NVML; nothing where there is none."""

from __future__ import annotations

import statistics
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from sightline_engines.device import parse_device
from sightline_engines.errors import ProviderError
from sightline_engines.trt_memory import gpu_bus_id

_EVERY_S = 0.1


class GpuSampler:
    """Reads a GPU ten times a second for the length of a block.

    Work and power are counted while `counting` is set, memory all the time.
    """

    def __init__(self, device: str) -> None:
        self.counting = threading.Event()
        self._device = device
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._shares: list[float] = []
        self._watts: list[float] = []
        self._memory: list[int] = []
        self._before = 0

    @property
    def share(self) -> float | None:
        """Mean share of the time that the GPU worked, 0..1."""
        return statistics.fmean(self._shares) if self._shares else None

    @property
    def watts(self) -> float | None:
        """Mean power."""
        return statistics.fmean(self._watts) if self._watts else None

    @property
    def memory_bytes(self) -> int | None:
        """The most that was taken beyond what was taken before the block."""
        return max(0, max(self._memory) - self._before) if self._memory else None

    def __enter__(self) -> Self:
        device = parse_device(self._device)
        if device.kind == "cpu":
            return self
        try:
            import pynvml

            pynvml.nvmlInit()
        except ImportError:
            return self
        except pynvml.NVMLError:
            return self
        try:
            handle = _handle(pynvml, device.index)
            if handle is None:
                pynvml.nvmlShutdown()
                return self
            self._before = int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
        except pynvml.NVMLError:
            pynvml.nvmlShutdown()
            return self
        self._thread = threading.Thread(target=self._read, args=(pynvml, handle), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()

    def _read(self, nvml: Any, handle: Any) -> None:
        try:
            while not self._stop.wait(_EVERY_S):
                self._sample(nvml, handle)
        finally:
            nvml.nvmlShutdown()

    def _sample(self, nvml: Any, handle: Any) -> None:
        """Take one reading; what this GPU doesn't tell is left out."""
        with suppress(nvml.NVMLError):
            self._memory.append(int(nvml.nvmlDeviceGetMemoryInfo(handle).used))
        if not self.counting.is_set():
            return
        # Each for itself: a GPU that is divided (MIG) tells its power and not its work.
        with suppress(nvml.NVMLError):
            self._shares.append(nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
        with suppress(nvml.NVMLError):
            self._watts.append(nvml.nvmlDeviceGetPowerUsage(handle) / 1000)


def _handle(nvml: Any, index: int) -> Any | None:
    """Return NVML's handle of the GPU that CUDA counts so; None: which one that is isn't known.

    NVML counts by PCI bus whatever CUDA_VISIBLE_DEVICES hides, so it is asked for the place.
    """
    try:
        return nvml.nvmlDeviceGetHandleByPciBusId(gpu_bus_id(index))
    except ProviderError:  # without cuda-python: a single GPU is not to be mistaken
        return nvml.nvmlDeviceGetHandleByIndex(0) if nvml.nvmlDeviceGetCount() == 1 else None
