"""What the driver says of a GPU, and silence where there is none."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from sightline_monitoring.gpu import GpuCollector
from sightline_monitoring.metrics import Metrics


class NVMLError(Exception):
    """The driver's error."""


def driver(percents: list[int | None]) -> ModuleType:
    """Return a stand-in for `pynvml` with these GPUs; None is one that doesn't tell."""

    def utilization(handle: int) -> SimpleNamespace:
        percent = percents[handle]
        if percent is None:
            raise NVMLError
        return SimpleNamespace(gpu=percent)

    module = ModuleType("pynvml")
    functions = {
        "NVMLError": NVMLError,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: len(percents),
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetUtilizationRates": utilization,
    }
    for name, function in functions.items():
        setattr(module, name, function)
    return module


def no_driver() -> ModuleType:
    """Return `pynvml` as it is on a machine without a driver."""
    module = driver([])

    def fail() -> None:
        raise NVMLError

    module.nvmlInit = fail  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize(
    ("module", "shares"),
    [
        (None, {}),
        (no_driver(), {}),
        (driver([]), {}),
        (driver([0]), {"0": 0.0}),
        (driver([25, 100]), {"0": 0.25, "1": 1.0}),
        (driver([None, 50]), {"1": 0.5}),
    ],
    ids=["no package", "no driver", "no GPU", "an idle one", "two", "one that doesn't tell"],
)
def test_use_is_a_share_of_one_for_each_gpu_that_tells(
    module: ModuleType | None, shares: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module)
    found = {
        sample.labels["gpu"]: sample.value
        for family in GpuCollector().collect()
        for sample in family.samples
    }
    assert found == shares


@pytest.mark.gpu
@pytest.mark.skipif(not Path("/proc/driver/nvidia/gpus").is_dir(), reason="no NVIDIA GPU here")
def test_a_real_gpu_is_reported() -> None:
    pytest.importorskip("pynvml")
    share = Metrics().registry.get_sample_value("gpu_utilization", {"gpu": "0"})
    assert share is not None
    assert 0 <= share <= 1
