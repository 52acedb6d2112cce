"""The TensorRT engine: runs a plan that was built on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline_engines.chunks import run_in_chunks
from sightline_engines.device import Device, read_gpu
from sightline_engines.errors import (
    EngineError,
    EngineMemoryError,
    ModelFileError,
    ProviderError,
)
from sightline_engines.heads import check_output
from sightline_engines.passport_check import (
    NO_PASSPORT,
    missing_tensorrt,
    place_problem,
    plan_problem,
)
from sightline_engines.trt_memory import Buffer, gpu_bus_id, open_stream
from sightline_engines.trt_plan import Plan, read_plan
from sightline_engines.types import ModelSpec, RawOutput, ServedModel, Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Lane:
    """How batches of one size run: a context of their own, and a graph where one could be made.

    A graph holds what its context decided for its shapes, so no context changes shape after.
    """

    context: Any
    graph: Any | None


class TensorRtEngine:
    """Runs one plan on one stream; made by `load_tensorrt`."""

    def __init__(
        self, spec: ModelSpec, served: ServedModel, plan: Plan, buffers: tuple[Buffer, ...]
    ) -> None:
        self._spec = spec
        self._served = served
        self._plan: Plan | None = plan
        self._input, *self._outputs = buffers
        self._lanes: dict[int, _Lane] = {}  # by batch size
        self._sizes = batch_sizes(plan.max_batch)  # others are filled up to the next

    @property
    def spec(self) -> ModelSpec:
        """The model that runs."""
        return self._spec

    @property
    def served(self) -> ServedModel:
        """What answers, for showing."""
        return self._served

    def infer(self, tensor: Tensor) -> RawOutput:
        """Run a batch of 1..n pictures.

        Raises EngineError when TensorRT or CUDA fails, EngineMemoryError when for lack of memory.
        """
        if self._plan is None:
            raise EngineError("The engine is closed.")
        wanted = self._input.host.shape[1:]
        if tensor.shape[1:] != wanted or tensor.dtype != np.uint8:
            raise EngineError(
                f"TensorRT failed: the plan takes uint8 {list(wanted)} pictures, not "
                f"{tensor.dtype} {list(tensor.shape[1:])}."
            )
        return run_in_chunks(self._run, tensor, self._plan.max_batch, padded=self._plan.static)

    def warm(self) -> RawOutput:
        """Run each batch size once, so that none is set up amid live frames; return the first."""
        height, width, _ = self._input.host.shape[1:]
        sizes = self._sizes[-1:] if self._plan is not None and self._plan.static else self._sizes
        answers = [self.infer(np.zeros((size, height, width, 3), np.uint8)) for size in sizes]
        return tuple(output[:1] for output in answers[0])

    def close(self) -> None:
        """Give the GPU's memory back; the engine can't run afterwards."""
        if self._plan is None:
            return
        plan, self._plan = self._plan, None
        plan.stream.close()  # graphs go before what they run
        self._lanes.clear()
        self._outputs = []

    def _run(self, tensor: Tensor) -> RawOutput:
        plan, count = self._plan, len(tensor)
        if plan is None:
            raise EngineError("The engine is closed.")
        stream = plan.stream
        stream.choose()
        size = next(size for size in self._sizes if size >= count)
        lane = self._lanes.get(size)
        if lane is None:
            lane = self._lanes[size] = self._open_lane(plan, size)
        self._input.host[:count] = tensor  # what is behind them is computed and not looked at
        if lane.graph is None:
            self._enqueue(plan, lane.context, size)
        else:
            stream.launch(lane.graph)
        stream.wait()
        # Copied: the buffers are written over by the next run.
        return tuple(np.array(output.host[:count], np.float32) for output in self._outputs)

    def _open_lane(self, plan: Plan, count: int) -> _Lane:
        """Make ready for a batch size: run it once, as TensorRT sets itself up, then record it."""
        context = plan.context(count)
        plan.bind(context, (self._input, *self._outputs))
        self._enqueue(plan, context, count)
        plan.stream.wait()
        return _Lane(context, plan.stream.capture(lambda: self._enqueue(plan, context, count)))

    def _enqueue(self, plan: Plan, context: Any, count: int) -> None:
        """Put one batch into the stream: copy there, run, copy back."""
        plan.stream.upload(self._input, count)
        plan.enqueue(context)
        for output in self._outputs:
            plan.stream.download(output, count)


def batch_sizes(largest: int) -> tuple[int, ...]:
    """Return the batch sizes that are set up: powers of two, and the largest."""
    powers = (1 << power for power in range(largest.bit_length()))
    return tuple(sorted({largest, *(size for size in powers if size < largest)}))


def load_tensorrt(
    spec: ModelSpec, device: Device | None = None, fallback: str | None = None
) -> TensorRtEngine:
    """Load a plan on a GPU and run it at each batch size; None takes the first.

    Raises ProviderError where the plan can't run here (driver, TensorRT, passport, hash, all asked
    before TensorRT is touched), ModelFileError for a plan that doesn't run, EngineMemoryError.
    """
    place = device or Device("tensorrt")
    if place.kind == "cpu":
        raise ProviderError("A TensorRT plan needs an NVIDIA GPU; leave the device unset.")
    data = _trusted_plan(spec, place.index)
    stream = open_stream(place.index)
    try:
        plan = read_plan(data, spec, stream)
        engine = TensorRtEngine(spec, _served(spec, place, fallback), plan, plan.buffers(spec))
        check_output(engine.warm(), spec)
    except EngineMemoryError:  # with fewer models in memory it may run
        stream.close()
        raise
    except EngineError as error:
        stream.close()
        raise ModelFileError(f"{spec.path.name} doesn't run: {error.message}") from error
    except (ModelFileError, ProviderError):
        stream.close()
        raise
    return engine


def _trusted_plan(spec: ModelSpec, index: int) -> bytes:
    """Return a plan's bytes if they were built here, for the GPU that CUDA counts so."""
    if spec.passport is None:
        raise ProviderError(NO_PASSPORT)
    reason = missing_tensorrt()
    if reason:
        raise ProviderError(f"TensorRT was asked for, but {reason}.")
    try:
        data = spec.path.read_bytes()
    except OSError as error:
        said = f"{spec.path.name} can't be read: {error.strerror or error}."
        raise ModelFileError(said) from error
    # By bus id: CUDA may count GPUs otherwise than the driver does.
    gpu = read_gpu(gpu_bus_id(index))
    problem = place_problem(spec.passport, gpu) or plan_problem(spec, data)
    if problem:
        raise ProviderError(problem)
    return data


def _served(spec: ModelSpec, place: Device, fallback: str | None) -> ServedModel:
    shown = str(Device("cuda", place.index))
    return ServedModel(spec.name, spec.version, "tensorrt", spec.precision, shown, fallback)
