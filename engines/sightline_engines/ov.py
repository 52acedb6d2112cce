"""The OpenVINO engine: the faster one on x86 processors."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline_engines.chunks import run_in_chunks
from sightline_engines.errors import EngineError, ModelFileError, ProviderError
from sightline_engines.graph import INPUT_NAME, uint8_graph
from sightline_engines.heads import check_output
from sightline_engines.types import ModelSpec, RawOutput, ServedModel, Tensor

_MAX_BATCH = 16  # pictures a call of a dynamic model; larger batches go in several


class OpenVinoEngine:
    """Runs one model in one OpenVINO infer request; made by `load_openvino`."""

    def __init__(self, spec: ModelSpec, served: ServedModel, request: Any) -> None:
        self._spec = spec
        self._served = served
        self._request = request

    @property
    def spec(self) -> ModelSpec:
        """The model that runs."""
        return self._spec

    @property
    def served(self) -> ServedModel:
        """What answers, for showing."""
        return self._served

    def infer(self, tensor: Tensor) -> RawOutput:
        """Run a batch of 1..n pictures; raises EngineError when the runtime fails."""
        size = self._spec.static_batch
        return run_in_chunks(self._run, tensor, size or _MAX_BATCH, padded=size is not None)

    def close(self) -> None:
        """Give the compiled model's memory back; the engine can't run afterwards."""
        self._request = None

    def _run(self, tensor: Tensor) -> RawOutput:
        if self._request is None:
            raise EngineError("The engine is closed.")
        try:
            outputs = self._request.infer({INPUT_NAME: np.ascontiguousarray(tensor)})
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {error}") from error
        # Copied: the request's own memory is written over by the next run.
        return tuple(np.array(output, np.float32) for output in outputs.values())


def load_openvino(
    spec: ModelSpec, *, threads: int | None = None, fallback: str | None = None
) -> OpenVinoEngine:
    """Compile a model for the CPU and run it once.

    Raises ProviderError where OpenVINO isn't installed, ModelFileError for a model that it
    can't run. `fallback` is passed on to `served`.
    """
    reason = missing_openvino()
    if reason:
        raise ProviderError(f"OpenVINO was asked for, but {reason}.")
    import openvino

    # fp32 is named because OpenVINO else takes bf16 wherever the processor has any of it:
    # less exact boxes, and without the matrix unit 2.4 times slower.
    config: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    core = openvino.Core()
    try:
        model = core.read_model(uint8_graph(spec))
        request = core.compile_model(model, "CPU", config).create_infer_request()
    except RuntimeError as error:
        raise ModelFileError(f"OpenVINO can't run {spec.path.name}: {error}") from error
    precision = "int8" if spec.precision == "int8" else "fp32"
    served = ServedModel(spec.name, spec.version, "openvino", precision, "CPU", fallback)
    engine = OpenVinoEngine(spec, served, request)
    width, height = spec.input_size_wh
    try:  # the first run allocates
        check_output(engine.infer(np.zeros((1, height, width, 3), np.uint8)), spec)
    except EngineError as error:
        raise ModelFileError(f"{spec.path.name} doesn't run: {error.message}") from error
    return engine


def missing_openvino() -> str | None:
    """Return why OpenVINO can't be used, None where it can."""
    try:
        import openvino
    except ImportError as error:
        return f"it isn't installed ({error}); install sightline-engines[openvino]"
    return None if "CPU" in openvino.Core().available_devices else "it has no CPU device here"
