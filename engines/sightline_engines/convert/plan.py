"""Build a TensorRT plan: ONNX in, a plan and its passport out.

What the builder is given and what becomes of it; trt_builder.py runs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from sightline_engines.convert.options import ConvertOptions
from sightline_engines.convert.timing_cache import write_whole
from sightline_engines.convert.trt_builder import BuildOptions, serialised
from sightline_engines.device import read_gpu
from sightline_engines.errors import ModelFileError, ProviderError
from sightline_engines.graph import INPUT_NAME, uint8_graph
from sightline_engines.onnxfile import parse_onnx
from sightline_engines.passport import Passport
from sightline_engines.passport_check import missing_tensorrt, tensorrt_version
from sightline_engines.progress import Progress, part, quiet
from sightline_engines.trt_memory import gpu_bus_id
from sightline_engines.types import Format, ModelSpec

_OLDEST = 10  # the first with the calls that are used here


@dataclass(frozen=True, slots=True)
class PlanShapes:
    """A plan's optimisation profiles: (smallest, tuned for, largest) batch of each.

    One picture has a profile of its own, since that is what a lone camera sends; one profile of
    three alike for a model of a fixed batch.
    """

    profiles: tuple[tuple[int, int, int], ...]
    size_wh: tuple[int, int]

    def input_shape(self, batch: int) -> tuple[int, int, int, int]:
        """Return the input's shape for a batch."""
        width, height = self.size_wh
        return batch, height, width, 3


def can_build() -> str | None:
    """Return why no plan can be built here, None where it can; cheap, imports nothing of it."""
    reason = missing_tensorrt()
    if reason:
        return reason
    version = tensorrt_version() or "0"
    if int(version.split(".")[0]) < _OLDEST:
        return f"TensorRT {version} is too old; install {_OLDEST} or newer"
    if find_spec("polygraphy") is None:
        return "polygraphy isn't installed; install sightline-engines[tensorrt]"
    return None


def build_plan(
    source: ModelSpec,
    options: ConvertOptions,
    pictures: Sequence[Path],
    folder: Path,
    progress: Progress = quiet,
) -> ModelSpec:
    """Build `folder`/NAME.plan of an ONNX model for this machine's first GPU.

    `pictures` calibrate INT8. Blocks for minutes. Raises ProviderError where nothing can be built,
    before any work; ModelFileError for a model that TensorRT doesn't take, EngineMemoryError.
    """
    reason = can_build()
    if reason:
        raise ProviderError(f"A TensorRT plan can't be built here: {reason}.")
    if source.format is not Format.ONNX:
        raise ModelFileError(f"A TensorRT plan is built from ONNX; {source.path.name} is none.")
    origin = hashlib.sha256(source.path.read_bytes()).hexdigest()
    with TemporaryDirectory(prefix=".typed-", dir=folder) as name:
        typed = typed_source(source, options, pictures, Path(name), part(progress, 0.0, 0.2))
        graph, shapes = plan_input(typed, options)
    progress(0.2, "reading the network")
    plan = serialised(
        graph,
        typed.path.name,
        [{INPUT_NAME: tuple(map(shapes.input_shape, sides))} for sides in shapes.profiles],
        BuildOptions(options.workspace_bytes, options.timing_cache),
        part(progress, 0.2, 0.98),
    )
    progress(0.98, "writing the plan")
    path = folder / f"{source.path.stem}-{options.precision}.plan"
    write_whole(path, plan)
    digest = hashlib.sha256(plan).hexdigest()
    progress(1.0, "done")
    return replace(
        typed,
        name=source.name,
        path=path,
        precision=options.precision,
        sha256=digest,
        passport=_passport(origin, digest, shapes),
    )


def typed_source(
    source: ModelSpec,
    options: ConvertOptions,
    pictures: Sequence[Path],
    folder: Path,
    progress: Progress = quiet,
) -> ModelSpec:
    """Return the model as ONNX in the precision and size that the plan is to have."""
    size_wh = options.input_size_wh or source.input_size_wh
    if (options.precision, size_wh) == (source.precision, source.input_size_wh):
        return source
    if source.precision not in ("fp32", options.precision):
        raise ModelFileError(
            f"{source.path.name} is {source.precision} already; make {options.precision} of the "
            "model's fp32 ONNX file."
        )
    from sightline_engines.convert.convert import convert

    wanted = replace(options, format=Format.ONNX, symmetric=True)
    return convert(source, wanted, pictures, folder, progress).spec


def plan_input(spec: ModelSpec, options: ConvertOptions) -> tuple[bytes, PlanShapes]:
    """Return the ONNX that TensorRT reads, with uint8 pictures as its input, and its shapes."""
    graph = uint8_graph(spec, cast_first=True)
    if spec.precision == "int8":
        from sightline_engines.convert.quantise import symmetric_problem, with_float_biases

        quantised = with_float_biases(parse_onnx(graph, spec.path.name).model)
        problem = symmetric_problem(quantised)
        if problem:
            raise ModelFileError(
                f"TensorRT can't take {spec.path.name}: {problem}. Convert the model's fp32 ONNX "
                "to TensorRT; it is quantised as TensorRT wants it on the way."
            )
        graph = bytes(quantised.SerializeToString())
    (port,) = (p for p in parse_onnx(graph, spec.path.name).inputs if p.name == INPUT_NAME)
    fixed = port.shape[0]
    if fixed is not None:
        return graph, PlanShapes(((fixed, fixed, fixed),), spec.input_size_wh)
    largest = options.max_batch
    several = ((2, largest, largest),) if largest > 1 else ()
    return graph, PlanShapes(((1, 1, 1), *several), spec.input_size_wh)


def _passport(source_sha256: str, plan_sha256: str, shapes: PlanShapes) -> Passport:
    # The builder takes CUDA's first GPU, which need not be the driver's first.
    gpu, version = read_gpu(gpu_bus_id(0)), tensorrt_version()
    if gpu is None or version is None:
        raise ProviderError("The GPU was lost while the plan was built; see `nvidia-smi`.")
    return Passport(
        gpu.name,
        gpu.compute_capability,
        version,
        gpu.driver,
        source_sha256,
        plan_sha256,
        shapes.profiles[0][0],
        shapes.profiles[-1][1],
        shapes.profiles[-1][2],
        shapes.size_wh,
    )
