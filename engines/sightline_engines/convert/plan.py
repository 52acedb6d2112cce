"""Build a TensorRT plan: ONNX in, a plan and its passport out.

Networks are strongly typed, which TensorRT 10 and 11 both take: FP16 and INT8 are in the ONNX
already, no flag of the builder decides them. What can't run without a GPU is `_serialised` alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sightline_engines.convert.build_phases import BuildPhases, monitor
from sightline_engines.convert.options import ConvertOptions
from sightline_engines.convert.timing_cache import (
    load_timing_cache,
    save_timing_cache,
    write_whole,
)
from sightline_engines.device import read_gpu
from sightline_engines.errors import EngineMemoryError, ModelFileError, ProviderError, engine_error
from sightline_engines.graph import INPUT_NAME, uint8_graph
from sightline_engines.onnxfile import parse_onnx
from sightline_engines.passport import Passport
from sightline_engines.passport_check import missing_tensorrt, tensorrt_version
from sightline_engines.progress import Progress, part, quiet
from sightline_engines.trt_memory import gpu_bus_id
from sightline_engines.trt_plan import start
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
    plan = _serialised(graph, typed, shapes, options, part(progress, 0.2, 0.98))
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


def _serialised(
    graph: bytes, spec: ModelSpec, shapes: PlanShapes, options: ConvertOptions, progress: Progress
) -> bytes:
    """Run TensorRT's builder; this and trt_plan.py are all that touches TensorRT."""
    trt, log, told, builder = start(lambda trt, told: trt.Builder(told))
    from polygraphy.backend.trt import CreateConfig, Profile

    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = _parse(trt, network, told, graph, spec)
    phases = BuildPhases(progress)
    listener = monitor(trt, phases)
    # Polygraphy's defaults leave TF32 off: what says fp32 computes in fp32.
    config = CreateConfig(
        profiles=[
            Profile().add(INPUT_NAME, *map(shapes.input_shape, batches))
            for batches in shapes.profiles
        ],
        memory_pool_limits={trt.MemoryPoolType.WORKSPACE: options.workspace_bytes},
        progress_monitor=listener,
    )(builder, network)
    cache = load_timing_cache(config, options.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if phases.failure is not None:
        raise phases.failure
    if plan is None:
        failure = engine_error("TensorRT's builder", RuntimeError(log.take()))
        if isinstance(failure, EngineMemoryError):
            raise failure
        raise ModelFileError(f"TensorRT can't build {spec.path.name}: {failure.message}")
    with suppress(OSError):  # a full disk costs the next build time; this one is done
        save_timing_cache(config, options.timing_cache)
    data = bytes(plan)
    del cache, parser  # were used by the builder until here
    return data


def _parse(trt: Any, network: Any, told: Any, graph: bytes, spec: ModelSpec) -> Any:
    """Fill a network from ONNX; raises ModelFileError naming the operators that it can't take."""
    parser = trt.OnnxParser(network, told)
    if parser.parse(graph):
        return parser
    said = []
    for index in range(min(3, parser.num_errors)):
        parse_error = parser.get_error(index)
        where = f"{parse_error.node_operator()} '{parse_error.node_name()}'"
        said.append(f"{where}: {parse_error.desc()}")
    raise ModelFileError(
        f"TensorRT can't take {spec.path.name}: {'; '.join(said) or 'it gave no reason'}."
    )
