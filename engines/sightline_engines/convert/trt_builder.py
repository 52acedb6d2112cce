"""Run TensorRT's builder on any ONNX; this and trt_plan.py are all that touches TensorRT.

Networks are strongly typed, which TensorRT 10 and 11 both take: FP16 and INT8 are in the ONNX
already, no flag of the builder decides them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from sightline_engines.convert.build_phases import BuildPhases, monitor
from sightline_engines.convert.timing_cache import load_timing_cache, save_timing_cache
from sightline_engines.errors import EngineMemoryError, ModelFileError, engine_error
from sightline_engines.progress import Progress, quiet
from sightline_engines.trt_plan import start

Shape: TypeAlias = tuple[int, ...]
Profile: TypeAlias = Mapping[str, tuple[Shape, ...]]  # input -> smallest, tuned for, largest


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What the builder may take."""

    workspace_bytes: int = 4 * 2**30  # on the GPU
    timing_cache: Path | None = None  # read and written


def serialised(
    graph: bytes,
    name: str,
    profiles: Sequence[Profile],
    options: BuildOptions,
    progress: Progress = quiet,
) -> bytes:
    """Return the plan of an ONNX graph for CUDA's first GPU; `name` is the file's, for errors.

    Each profile names every input. Raises ProviderError where TensorRT doesn't start,
    ModelFileError for a graph that it doesn't take, EngineMemoryError.
    """
    trt, log, told, builder = start(lambda trt, told: trt.Builder(told))
    from polygraphy.backend.trt import CreateConfig
    from polygraphy.backend.trt import Profile as TrtProfile

    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = _parse(trt, network, told, graph, name)
    phases = BuildPhases(progress)
    listener = monitor(trt, phases)
    # Polygraphy's defaults leave TF32 off: what says fp32 computes in fp32.
    config = CreateConfig(
        profiles=[_filled(TrtProfile(), profile) for profile in profiles],
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
        raise ModelFileError(f"TensorRT can't build {name}: {failure.message}")
    with suppress(OSError):  # a full disk costs the next build time; this one is done
        save_timing_cache(config, options.timing_cache)
    data = bytes(plan)
    del cache, parser  # were used by the builder until here
    return data


def _filled(empty: Any, profile: Profile) -> Any:
    for port, (smallest, best, largest) in profile.items():
        empty.add(port, smallest, best, largest)
    return empty


def _parse(trt: Any, network: Any, told: Any, graph: bytes, name: str) -> Any:
    """Fill a network from ONNX; raises ModelFileError naming the operators that it can't take."""
    parser = trt.OnnxParser(network, told)
    if parser.parse(graph):
        return parser
    said = []
    for index in range(min(3, parser.num_errors)):
        parse_error = parser.get_error(index)
        where = f"{parse_error.node_operator()} '{parse_error.node_name()}'"
        said.append(f"{where}: {parse_error.desc()}")
    raise ModelFileError(f"TensorRT can't take {name}: {'; '.join(said) or 'it gave no reason'}.")
