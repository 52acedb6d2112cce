"""What NVIDIA's driver says of one GPU, read through NVML (package nvidia-ml-py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU at one moment, in base units; None where the card or driver doesn't tell."""

    utilization: float | None = None
    memory_bytes: tuple[int, int] | None = None  # used, total
    temperature_c: float | None = None
    slowdown_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    clock_hz: dict[str, float] | None = None
    throttled: dict[str, bool] | None = None
    ecc_errors: dict[str, int] | None = None  # since the driver was loaded


def devices() -> list[Any]:
    """Return a handle for each GPU; none without a driver or a GPU.

    NVML stays open from the first call on: opening it costs milliseconds, being open nothing.
    """
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return []
    found = (_told(pynvml.nvmlDeviceGetHandleByIndex, index) for index in range(count))
    return list(found)


def read(handle: Any) -> GpuReading:
    """Ask the driver about one GPU; what it refuses to tell is None."""
    use = _told(pynvml.nvmlDeviceGetUtilizationRates, handle)
    memory = _told(pynvml.nvmlDeviceGetMemoryInfo, handle)
    power_mw = _told(pynvml.nvmlDeviceGetPowerUsage, handle)
    limit_mw = _told(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    return GpuReading(
        utilization=None if use is None else use.gpu / 100,
        memory_bytes=None if memory is None else (memory.used, memory.total),
        temperature_c=_told(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        slowdown_c=_told(
            pynvml.nvmlDeviceGetTemperatureThreshold,
            handle,
            pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN,
        ),
        power_w=None if power_mw is None else power_mw / 1e3,
        power_limit_w=None if limit_mw is None else limit_mw / 1e3,
        clock_hz=_clocks(handle),
        throttled=_throttled(handle),
        ecc_errors=_ecc_errors(handle),
    )


class XidEvents:
    """Counts the critical errors (XID) that the driver reports of the GPUs."""

    def __init__(self, handles: list[Any]) -> None:
        self.counts = dict.fromkeys(range(len(handles)), 0)
        self._index: dict[str, int] = {}
        self._events = _told(pynvml.nvmlEventSetCreate)
        for index, handle in enumerate(handles):
            kinds = pynvml.nvmlEventTypeXidCriticalError
            uuid = None if handle is None else _told(pynvml.nvmlDeviceGetUUID, handle)
            if self._events is None or uuid is None:
                self.counts.pop(index)
                continue
            try:
                pynvml.nvmlDeviceRegisterEvents(handle, kinds, self._events)
            except pynvml.NVMLError:  # not on this card or system
                self.counts.pop(index)
                continue
            self._index[uuid] = index

    def drain(self) -> None:
        """Take in what has been reported since; never waits."""
        while self.counts:
            try:
                event = pynvml.nvmlEventSetWait_v2(self._events, 0)
            except pynvml.NVMLError:  # a time-out: there is nothing more
                return
            uuid = _told(pynvml.nvmlDeviceGetUUID, event.device)
            # A card that has fallen off the bus can't be asked its name: any may be the one.
            known = [self._index[uuid]] if uuid in self._index else list(self.counts)
            for index in known:
                self.counts[index] += 1


def _told(ask: Callable[..., T], *arguments: Any) -> T | None:
    try:
        return ask(*arguments)
    except pynvml.NVMLError:  # not supported, no permission, or the card is lost
        return None


def _clocks(handle: Any) -> dict[str, float]:
    mhz = {
        "sm": _told(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
        "memory": _told(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM),
    }
    return {name: value * 1e6 for name, value in mhz.items() if value is not None}


def _throttled(handle: Any) -> dict[str, bool] | None:
    reasons = _told(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
    if reasons is None:
        return None
    power = pynvml.nvmlClocksThrottleReasonSwPowerCap
    power |= pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    thermal = pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
    thermal |= pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
    hardware = pynvml.nvmlClocksThrottleReasonHwSlowdown
    masks = {"power": power, "thermal": thermal, "hardware": hardware}
    return {name: bool(reasons & mask) for name, mask in masks.items()}


def _ecc_errors(handle: Any) -> dict[str, int]:
    kinds = {
        "corrected": pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED,
        "uncorrected": pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
    }
    counts = {
        name: _told(pynvml.nvmlDeviceGetTotalEccErrors, handle, kind, pynvml.NVML_VOLATILE_ECC)
        for name, kind in kinds.items()
    }
    return {name: count for name, count in counts.items() if count is not None}
