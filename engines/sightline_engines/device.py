"""Which processor an engine runs on, and whether an NVIDIA one is here."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sightline_engines.errors import ProviderError


@dataclass(frozen=True, slots=True)
class Device:
    """A processor as people name it: cpu, cuda:0, tensorrt:1."""

    kind: Literal["cpu", "cuda", "tensorrt"]
    index: int = 0

    def __str__(self) -> str:
        match self.kind:
            case "cpu":
                return "CPU"
            case "cuda":
                return f"CUDA:{self.index}"
            case "tensorrt":
                return f"TensorRT:{self.index}"


CPU = Device("cpu")


def parse_device(text: str) -> Device:
    """Read "cpu", "cuda", "cuda:1" or "tensorrt"; raises ProviderError."""
    match = re.fullmatch(r"(cpu)|(cuda|tensorrt)(?::(\d{1,2}))?", text.strip().lower())
    if match is None:
        raise ProviderError(
            f"There is no device {text!r}; known are cpu, cuda, cuda:1 (the second GPU) and "
            "tensorrt."
        )
    if match[1]:
        return CPU
    return Device("cuda" if match[2] == "cuda" else "tensorrt", int(match[3] or 0))


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU as its driver tells of it."""

    name: str
    compute_capability: str  # "9.0"
    driver: str  # "580.65.06"


def read_gpu(place: int | str = 0) -> Gpu | None:
    """Ask the driver for a GPU by number or PCI bus id; None: no such GPU or no driver.

    Makes no CUDA context. The driver counts by PCI bus, whatever CUDA_VISIBLE_DEVICES hides.
    """
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        if isinstance(place, str):
            handle = pynvml.nvmlDeviceGetHandleByPciBusId(place)
        else:
            handle = pynvml.nvmlDeviceGetHandleByIndex(place)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        return Gpu(_text(pynvml.nvmlDeviceGetName(handle)), f"{major}.{minor}", driver)
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def nvidia_gpus() -> tuple[str, ...]:
    """Return the names of the NVIDIA GPUs that the driver sees; none: no GPU or no driver."""
    try:
        import pynvml
    except ImportError:
        # Without the library the driver's traces say at least that there is one.
        traces = Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None
        return ("NVIDIA GPU",) if traces else ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return tuple(_text(pynvml.nvmlDeviceGetName(handle)) for handle in handles)
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _text(told: bytes | str) -> str:
    """Return what older versions of the driver's library tell as bytes."""
    return told.decode() if isinstance(told, bytes) else told
