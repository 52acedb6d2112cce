"""Where an engine runs, and which devices a job keeps busy while it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sightline_backend.jobs.requests import (
    BenchmarkRequest,
    ConvertRequest,
    JobRequest,
    PipelineRequest,
    ValidateRequest,
)
from sightline_engines.device import nvidia_gpus, parse_device
from sightline_engines.errors import ModelFileError, SightlineError
from sightline_engines.onnxrt import missing_provider

_CPU, _CUDA = "cpu", "cuda:0"


def device_of(engine: str, asked: str | None) -> str:
    """Return where an engine runs; raises ModelFileError where it can't run there."""
    if engine == "openvino":
        if asked not in (None, _CPU):
            raise ModelFileError(f"OpenVINO runs on the processor here, not on {asked}.")
        return _CPU
    if engine == "tensorrt":
        if asked == _CPU:
            raise ModelFileError("TensorRT runs on NVIDIA GPUs, not on the processor.")
        return (asked or _CUDA).replace("tensorrt", "cuda")
    if asked is not None:
        return asked
    return _CUDA if nvidia_gpus() and missing_provider(parse_device(_CUDA)) is None else _CPU


def devices_of(request: JobRequest) -> str:
    """Return the devices of which the job needs all, sorted: "cpu", "cpu cuda:0", and so on."""
    match request:
        case ConvertRequest():
            return _CUDA if request.format == "tensorrt" else _CPU
        case ValidateRequest(engine="auto"):  # the artefact's format says which
            engines: Sequence[str] = ("onnxruntime", "openvino")
            if nvidia_gpus():
                engines = (*engines, "tensorrt")
            return _kept(engines, request.device)
        case ValidateRequest():
            return _kept((request.engine,), request.device)
        case BenchmarkRequest() | PipelineRequest():
            return _kept(request.engines, request.device)


def split(devices: str) -> list[str]:
    """Return the devices that `devices_of` named."""
    return devices.split()


def _kept(engines: Sequence[str], asked: str | None) -> str:
    return " ".join(sorted(set(_each(engines, asked)))) or _CPU


def _each(engines: Sequence[str], asked: str | None) -> Iterator[str]:
    for engine in engines:
        try:
            device = parse_device(device_of(engine, asked))
        except SightlineError:  # there it doesn't run: the job's result will say so
            continue
        yield _CPU if device.kind == "cpu" else f"cuda:{device.index}"
