"""What a GPU is said to do meanwhile: the right GPU, and whatever of it can be told."""

from __future__ import annotations

import sys
import time
from types import ModuleType

import pytest

from sightline_engines.benchmark import gpu
from sightline_engines.benchmark.gpu import GpuSampler
from sightline_engines.errors import ProviderError

PLACES = ["0000:01:00.0", "0000:02:00.0"]  # as the driver counts


class NVMLError(Exception):
    """What NVML raises."""


class Told:
    """An amount as NVML gives it."""

    def __init__(self, value: int) -> None:
        self.used = self.gpu = value


class FakeNvml(ModuleType):
    """Two GPUs, or one; the second takes 200 W and 2 GB and may be divided."""

    NVMLError = NVMLError

    def __init__(self, divided: bool = False, gpus: int = 2) -> None:
        super().__init__("pynvml")
        self.divided, self.gpus = divided, gpus
        self.open = 0

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return self.gpus

    def nvmlDeviceGetHandleByPciBusId(self, place: str) -> int:
        return PLACES.index(place)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index >= self.gpus:
            raise NVMLError
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Told:
        return Told((handle + 1) * 10**9)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Told:
        if self.divided:
            raise NVMLError
        return Told(30 + handle)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return (handle + 1) * 100_000


def read(nvml: FakeNvml, device: str, monkeypatch: pytest.MonkeyPatch) -> GpuSampler:
    """Return a sampler that has read a few times."""
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(gpu, "_EVERY_S", 0.001)
    with GpuSampler(device) as sampler:
        sampler.counting.set()
        time.sleep(0.1)
    assert nvml.open == 0
    return sampler


@pytest.mark.parametrize(
    ("device", "hidden", "watts"),
    [("cpu", 0, None), ("cuda:0", 0, 100), ("cuda:1", 0, 200), ("cuda:0", 1, 200)],
)
def test_the_gpu_is_the_one_that_cuda_counts_so(
    device: str, hidden: int, watts: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # CUDA_VISIBLE_DEVICES hides the first, so that CUDA's first is the driver's second.
    monkeypatch.setattr(gpu, "gpu_bus_id", lambda index: PLACES[index + hidden])
    sampler = read(FakeNvml(), device, monkeypatch)
    assert sampler.watts == watts
    assert sampler.share == (watts and 0.29 + watts / 10_000)


def test_a_divided_gpu_tells_its_power_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "gpu_bus_id", lambda index: PLACES[index])
    sampler = read(FakeNvml(divided=True), "cuda:0", monkeypatch)
    assert (sampler.share, sampler.watts, sampler.memory_bytes) == (None, 100, 0)


@pytest.mark.parametrize(("gpus", "watts"), [(0, None), (1, 100), (2, None)])
def test_without_cuda_python_one_of_several_gpus_is_not_guessed(
    gpus: int, watts: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_index: int) -> str:
        raise ProviderError("cuda-python isn't installed.")

    monkeypatch.setattr(gpu, "gpu_bus_id", missing)
    assert read(FakeNvml(gpus=gpus), "cuda:0", monkeypatch).watts == watts
