"""Whether a TensorRT plan may run here: its passport against this machine."""

from __future__ import annotations

import hashlib
from importlib import metadata
from importlib.util import find_spec

from sightline_engines.device import Gpu, nvidia_gpus, read_gpu
from sightline_engines.passport import Passport
from sightline_engines.trt_memory import gpu_bus_id
from sightline_engines.types import ModelSpec

_PACKAGES = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu13-bindings")
_REBUILD = "Build the plan here, from the ONNX file: convert it to tensorrt."
NO_PASSPORT = (
    "The plan has no passport: it was made elsewhere. Plans are executables and are only "
    f"loaded on the machine that built them. {_REBUILD}"
)


def passport_problem(
    spec: ModelSpec, *, place: int | str | None = None, source_sha256: str | None = None
) -> str | None:
    """Return why a plan can't run on this machine, None where it can.

    Cheap: asks the driver and the package's metadata, and reads the plan once; no CUDA context.
    `place` is the GPU's number or PCI bus id, None the one that CUDA counts first; `source_sha256`
    the ONNX file that it should come from, where that is known.
    """
    if place is None:
        place = 0 if missing_tensorrt() else gpu_bus_id(0)
    problem = place_problem(spec.passport, read_gpu(place))
    if problem or spec.passport is None:
        return problem
    if source_sha256 is not None and source_sha256 != spec.passport.source_sha256:
        return (
            f"{spec.path.name} was built from another ONNX file than the one beside it "
            f"({spec.passport.source_sha256[:12]}…, not {source_sha256[:12]}…). {_REBUILD}"
        )
    try:
        data = spec.path.read_bytes()
    except OSError as error:
        return f"{spec.path.name} can't be read: {error.strerror or error}."
    return plan_problem(spec, data)


def place_problem(passport: Passport | None, gpu: Gpu | None) -> str | None:
    """Return what differs between where a plan was built and this machine."""
    if passport is None:
        return NO_PASSPORT
    version = tensorrt_version()
    if gpu is None or version is None:
        return f"The plan can't run here: {missing_tensorrt() or 'the GPU is not there'}."
    compared = (
        ("GPU", passport.gpu, gpu.name),
        ("compute capability", passport.compute_capability, gpu.compute_capability),
        ("TensorRT", passport.tensorrt, version),
        ("driver", passport.driver, gpu.driver),
    )
    differing = [f"{what} {was}, here {now}" for what, was, now in compared if was != now]
    if not differing:
        return None
    return f"The plan was built for another machine: {'; '.join(differing)}. {_REBUILD}"


def plan_problem(spec: ModelSpec, data: bytes) -> str | None:
    """Return why a plan's bytes are not the ones that its passport was written for."""
    found = hashlib.sha256(data).hexdigest()
    if spec.passport is not None and found == spec.passport.plan_sha256:
        return None
    return f"{spec.path.name} is not the file that was built: its hash differs. {_REBUILD}"


def tensorrt_version() -> str | None:
    """Return the version of the installed TensorRT, None where there is none; imports nothing."""
    for name in _PACKAGES:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def missing_tensorrt() -> str | None:
    """Return why TensorRT can't be used, None where it can; imports nothing of it.

    The driver comes first: without one TensorRT crashes the process that reads a plan.
    """
    if not nvidia_gpus():
        return "no NVIDIA GPU is seen; if there is one, install its driver"
    if not _installed("pynvml"):
        return "nvidia-ml-py isn't installed; install sightline-engines[tensorrt]"
    if read_gpu() is None:
        return "the NVIDIA driver doesn't answer; see what `nvidia-smi` says"
    if not _installed("tensorrt") or tensorrt_version() is None:
        return "TensorRT isn't installed; install sightline-engines[tensorrt]"
    if not _installed("cuda.bindings.runtime") and not _installed("cuda.cudart"):
        return "cuda-python isn't installed; install sightline-engines[tensorrt]"
    return None


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # its parent is not there, or is a stand-in
        return False
