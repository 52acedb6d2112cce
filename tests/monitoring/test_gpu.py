"""What the driver says of a GPU, in base units, and silence where there is none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pynvml
import pytest

from sightline_monitoring import nvml
from sightline_monitoring.gpu import GpuCollector
from sightline_monitoring.metrics import Metrics

Card: TypeAlias = dict[Any, Any]  # what it answers, by function or by function and argument


class Driver:
    """A stand-in for `pynvml` with these cards; what a card lacks it doesn't support."""

    NVMLError = pynvml.NVMLError

    def __init__(self, cards: list[Card] | None) -> None:
        self.cards = cards
        self.xids: list[int] = []  # card by card, as they are reported

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvmlDevice"):
            return getattr(pynvml, name)  # the real constants
        return lambda card, *which: self._told(card, name, *which)

    def nvmlInit(self) -> None:
        if self.cards is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards or [])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        assert self.cards is not None
        if self.cards[index].get("lost"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return self.cards[index]

    def nvmlDeviceRegisterEvents(self, card: Card, kinds: int, events: object) -> None:
        assert kinds == pynvml.nvmlEventTypeXidCriticalError
        self._told(card, "xid")

    def nvmlEventSetCreate(self) -> object:
        return object()

    def nvmlEventSetWait_v2(self, events: object, wait_ms: int) -> SimpleNamespace:
        assert wait_ms == 0
        if not self.xids:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
        assert self.cards is not None
        return SimpleNamespace(device=self.cards[self.xids.pop(0)])

    def _told(self, card: Card, name: str, *which: int) -> Any:
        key = (name, which[0]) if which and (name, which[0]) in card else name
        if key not in card:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return card[key]


def card(percent: int = 25, more: Card | None = None, uuid: str = "GPU-0") -> Card:
    use = {"nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=percent)}
    return {"nvmlDeviceGetUUID": uuid, "xid": None, **use, **(more or {})}


FULL = {
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=3 * 2**30, total=8 * 2**30),
    "nvmlDeviceGetTemperature": 61,
    ("nvmlDeviceGetTemperatureThreshold", pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN): 92,
    "nvmlDeviceGetPowerUsage": 71_500,
    "nvmlDeviceGetEnforcedPowerLimit": 300_000,
    ("nvmlDeviceGetClockInfo", pynvml.NVML_CLOCK_SM): 1_410,
    ("nvmlDeviceGetClockInfo", pynvml.NVML_CLOCK_MEM): 1_215,
    "nvmlDeviceGetCurrentClocksThrottleReasons": pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
    ("nvmlDeviceGetTotalEccErrors", pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED): 4,
    ("nvmlDeviceGetTotalEccErrors", pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED): 1,
}
FULL_TOLD = {
    "gpu_utilization 0": 0.25,
    "gpu_memory_used_bytes 0": 3 * 2**30,
    "gpu_memory_total_bytes 0": 8 * 2**30,
    "gpu_temperature_celsius 0": 61,
    "gpu_slowdown_temperature_celsius 0": 92,
    "gpu_power_watts 0": 71.5,
    "gpu_power_limit_watts 0": 300,
    "gpu_clock_hertz 0 sm": 1.41e9,
    "gpu_clock_hertz 0 memory": 1.215e9,
    "gpu_throttled 0 power": 0,
    "gpu_throttled 0 thermal": 1,
    "gpu_throttled 0 hardware": 0,
    "gpu_ecc_errors_total 0 corrected": 4,
    "gpu_ecc_errors_total 0 uncorrected": 1,
    "gpu_xid_errors_total 0": 0,
}


def told(collector: GpuCollector) -> dict[str, float]:
    """Return what a scrape yields, by name and label values."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in collector.collect()
        for sample in family.samples
    }


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Driver:
    driver = Driver(request.param)
    monkeypatch.setattr(nvml, "pynvml", driver)
    return driver


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (None, {}),
        ([], {}),
        ([card(0)], {"gpu_utilization 0": 0.0, "gpu_xid_errors_total 0": 0}),
        ([{"lost": True}], {}),
        (
            [{"lost": True}, card(50, uuid="GPU-1")],
            {"gpu_utilization 1": 0.5, "gpu_xid_errors_total 1": 0},
        ),
        ([{}], {}),
        ([card(25, FULL)], FULL_TOLD),
    ],
    indirect=["machine"],
    ids=["no driver", "no GPU", "idle", "lost", "one of two lost", "tells nothing", "tells all"],
)
def test_a_card_tells_what_it_knows(machine: Driver, expected: dict[str, float]) -> None:
    assert told(GpuCollector()) == expected


@pytest.mark.parametrize("machine", [[card(1), card(2, uuid="GPU-1")]], indirect=True)
def test_critical_errors_are_counted_for_their_card(machine: Driver) -> None:
    collector = GpuCollector()
    assert told(collector)["gpu_xid_errors_total 1"] == 0
    machine.xids = [1, 1, 0]
    assert told(collector)["gpu_xid_errors_total 0"] == 1
    machine.xids = [1]
    assert told(collector)["gpu_xid_errors_total 1"] == 3


@pytest.mark.parametrize("machine", [[card(9)]], indirect=True)
def test_a_card_that_goes_and_comes_back_keeps_its_count(machine: Driver) -> None:
    collector = GpuCollector()
    told(collector)
    machine.xids = [0]
    assert told(collector)["gpu_xid_errors_total 0"] == 1
    cards, machine.cards = machine.cards, None
    assert told(collector) == {}
    machine.cards = cards
    assert told(collector)["gpu_xid_errors_total 0"] == 1


def test_the_real_library_says_nothing_or_numbers_here() -> None:
    for value in told(GpuCollector()).values():
        assert value >= 0


@pytest.mark.gpu
@pytest.mark.skipif(not Path("/proc/driver/nvidia/gpus").is_dir(), reason="no NVIDIA GPU here")
def test_a_real_gpu_is_reported() -> None:
    value = Metrics().registry.get_sample_value
    share = value("gpu_utilization", {"gpu": "0"})
    assert share is not None
    assert 0 <= share <= 1
    used = value("gpu_memory_used_bytes", {"gpu": "0"})
    total = value("gpu_memory_total_bytes", {"gpu": "0"})
    assert used is not None
    assert total is not None
    assert 0 < used <= total
    celsius = value("gpu_temperature_celsius", {"gpu": "0"})
    assert celsius is not None
    assert 10 < celsius < 110
