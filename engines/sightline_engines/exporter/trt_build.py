"""From ONNX of any inputs to a TensorRT plan for this machine's first GPU."""

from __future__ import annotations

import time
from pathlib import Path

from onnx import ModelProto

from sightline_engines.convert.plan import can_build
from sightline_engines.convert.quantise import symmetric_problem, with_float_biases
from sightline_engines.convert.timing_cache import write_whole
from sightline_engines.convert.trt_builder import BuildOptions, Profile, serialised
from sightline_engines.device import read_gpu
from sightline_engines.errors import ModelFileError, ProviderError
from sightline_engines.exporter.onnx_files import made_file, ports_of, read_onnx_file
from sightline_engines.exporter.options import ExportConfig
from sightline_engines.exporter.results import TensorRtBuild
from sightline_engines.passport_check import tensorrt_version
from sightline_engines.progress import Progress, quiet
from sightline_engines.trt_memory import gpu_bus_id

CACHE = "timing.cache"


def build_trt_engine(
    onnx: Path, config: ExportConfig, path: Path, *, progress: Progress = quiet
) -> TensorRtBuild:
    """Write the plan `path` of an ONNX file; blocks for minutes.

    The network is strongly typed: its precision is the ONNX file's. What TensorRT measured is
    kept beside the plan for the next build. Raises ProviderError where nothing can be built, before
    any work; ModelFileError for a model that TensorRT doesn't take, EngineMemoryError.
    """
    reason = can_build()
    if reason:
        raise ProviderError(f"A TensorRT plan can't be built here: {reason}.")
    missing = missing_ranges(config)
    if missing:
        raise ModelFileError(missing)
    begin_s = time.perf_counter()
    file = read_onnx_file(onnx)
    ports = [port.name for port in ports_of(file.inputs)]
    if set(ports) != set(config.input_shapes):
        raise ModelFileError(
            f"{onnx} takes {', '.join(ports)}, but {', '.join(config.input_shapes)} was asked for."
        )
    data = file.model.SerializeToString()
    if config.precision == "int8":
        data = _for_tensorrt(file.model, onnx.name)
    profile = profile_of(config)
    made = serialised(
        data,
        onnx.name,
        [profile],
        BuildOptions(int(config.workspace_size_gb * 2**30), path.parent / CACHE),
        progress,
    )
    # The builder takes CUDA's first GPU, which need not be the driver's first.
    gpu, version = read_gpu(gpu_bus_id(0)), tensorrt_version()
    if gpu is None or version is None:
        raise ProviderError("The GPU was lost while the plan was built; see `nvidia-smi`.")
    write_whole(path, made)
    return TensorRtBuild(
        made_file(path),
        config.precision,
        made_file(onnx).sha256,
        dict(profile),
        gpu.name,
        version,
        time.perf_counter() - begin_s,
        (f"The plan runs on {gpu.name} with TensorRT {version} alone: Triton must have both.",),
    )


def profile_of(config: ExportConfig) -> Profile:
    """Return the plan's optimisation profile: every input's smallest, best and largest shape.

    One for all batches: of several Triton takes the first alone unless its config tells otherwise,
    which nobody could write for a plan of unknown origin.
    """
    most = max(config.max_batch_size, 1)
    made = {}
    for name in config.input_shapes:
        shapes = [list(config.whole_shape(name, batch)) for batch in (1, most, most)]
        for axis, called in config.dynamic_axes.get(name, {}).items():
            shapes[0][axis], shapes[2][axis] = config.axis_ranges[called]
        made[name] = tuple(tuple(shape) for shape in shapes)
    return made


def missing_ranges(config: ExportConfig) -> str | None:
    """Return why no profile can be made, None where it can."""
    named = {axis for axes in config.dynamic_axes.values() for axis in axes.values()}
    unbound = sorted(named - set(config.axis_ranges))
    if not unbound:
        return None
    return (
        f"TensorRT needs the least and the greatest side of {', '.join(unbound)}: give axis_ranges "
        f"(--axis-range {unbound[0]}:1..512)."
    )


def _for_tensorrt(model: ModelProto, name: str) -> bytes:
    quantised = with_float_biases(model)
    problem = symmetric_problem(quantised)
    if problem:
        raise ModelFileError(
            f"TensorRT can't take {name}: {problem}. Export the module again with the platform "
            "tensorrt_plan; it is quantised as TensorRT wants it then."
        )
    return bytes(quantised.SerializeToString())
