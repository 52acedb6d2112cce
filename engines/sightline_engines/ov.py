"""The OpenVINO engine, for ONNX and OpenVINO IR: the faster one on x86 processors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from sightline_engines.chunks import run_in_chunks
from sightline_engines.errors import (
    EngineError,
    EngineMemoryError,
    ModelFileError,
    ProviderError,
    engine_error,
)
from sightline_engines.graph import INPUT_NAME, uint8_graph
from sightline_engines.heads import check_output
from sightline_engines.irfile import read_ir
from sightline_engines.runtimes import import_openvino
from sightline_engines.types import Format, ModelSpec, RawOutput, ServedModel, Tensor

_MAX_BATCH = 16  # pictures a call of a dynamic model; larger batches go in several


class OpenVinoEngine:
    """Runs one model in one OpenVINO infer request; made by `load_openvino`."""

    def __init__(
        self, spec: ModelSpec, served: ServedModel, request: Any, renewed: Callable[[], Any]
    ) -> None:
        self._spec = spec
        self._served = served
        self._request: Any | None = request
        self._renewed: Callable[[], Any] | None = renewed  # compiles anew; None: closed

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

        Raises EngineError when the runtime fails, EngineMemoryError when for lack of memory.
        """
        size = self._spec.static_batch
        return run_in_chunks(self._run, tensor, size or _MAX_BATCH, padded=size is not None)

    def close(self) -> None:
        """Give the compiled model's memory back; the engine can't run afterwards."""
        self._request = self._renewed = None

    def _run(self, tensor: Tensor) -> RawOutput:
        if self._renewed is None:
            raise EngineError("The engine is closed.")
        try:
            self._request = self._request or self._renewed()
            # Shared: the tensor is read where it lies, else both ways would be copied once more.
            outputs = self._request.infer(
                {INPUT_NAME: tensor}, share_inputs=True, share_outputs=True
            )
        except (RuntimeError, MemoryError) as error:
            failure = engine_error("OpenVINO", error)
            if isinstance(failure, EngineMemoryError):
                self._request = None  # measured: the compiled model goes on failing at any size
            raise failure from error
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
    openvino = import_openvino()
    # fp32 is named because OpenVINO else takes bf16 wherever the processor has any of it:
    # less exact boxes, and without the matrix unit 2.4 times slower.
    config: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        # OpenVINO else ties its threads to the first cores, and every instance to the same
        # ones: measured 2.5 to 4 times slower where anything else runs there.
        "ENABLE_CPU_PINNING": False,
    }
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    core = openvino.Core()
    try:
        model = _uint8_model(core, spec)
        request = _request(core, model, config)
    except RuntimeError as error:
        raise ModelFileError(f"OpenVINO can't run {spec.path.name}: {error}") from error
    served = ServedModel(spec.name, spec.version, "openvino", spec.precision, "CPU", fallback)
    engine = OpenVinoEngine(spec, served, request, partial(_request, core, model, config))
    width, height = spec.input_size_wh
    try:  # the first run allocates
        check_output(engine.infer(np.zeros((1, height, width, 3), np.uint8)), spec)
    except EngineMemoryError:  # with fewer models in memory it may run
        raise
    except EngineError as error:
        raise ModelFileError(f"{spec.path.name} doesn't run: {error.message}") from error
    return engine


def _uint8_model(core: Any, spec: ModelSpec) -> Any:
    """Return the model with a uint8 (N, h, w, 3) BGR input; raises ModelFileError."""
    if spec.format is not Format.OPENVINO:
        return core.read_model(uint8_graph(spec))
    openvino = import_openvino()
    text, weights = read_ir(spec.path, spec.sha256)
    # From memory: what was checked is what is read, and no other file can be reached.
    blob = openvino.Tensor(np.frombuffer(weights, np.uint8).copy())
    model = core.read_model(text, blob)
    _check_ports(model, spec)
    width, height = spec.input_size_wh
    model.reshape([spec.static_batch or -1, 3, height, width])
    return _with_normalisation(model, spec)


def _check_ports(model: Any, spec: ModelSpec) -> None:
    """Raise ModelFileError unless the model takes float [N, 3, H, W] and gives one output."""
    found = [f"{port.element_type.to_string()} {port.partial_shape}" for port in model.inputs]
    shape = model.inputs[0].partial_shape if len(found) == 1 else None
    fits = shape is not None and shape.rank.is_static and len(shape) == 4
    if not fits or "f" not in found[0] or len(model.outputs) != 1:
        raise ModelFileError(
            f"{spec.path.name} has the inputs {', '.join(found) or 'none'} and "
            f"{len(model.outputs)} outputs; supported is one picture input, float "
            "[N, 3, height, width], and one output."
        )


def _with_normalisation(model: Any, spec: ModelSpec) -> Any:
    """Put what `preprocess` of the spec says in front of the model's own float input."""
    from openvino import Layout, Type
    from openvino.preprocess import ColorFormat, PrePostProcessor

    steps = PrePostProcessor(model)
    picture = steps.input()
    picture.tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    picture.tensor().set_color_format(ColorFormat.BGR)
    picture.model().set_layout(Layout("NCHW"))
    if spec.preprocess.color == "rgb":
        picture.preprocess().convert_color(ColorFormat.RGB)
    picture.preprocess().convert_element_type(model.input().element_type)
    if spec.preprocess.scale != 1:
        picture.preprocess().scale(1 / spec.preprocess.scale)
    model = steps.build()
    model.input().get_tensor().set_names({INPUT_NAME})
    return model


def _request(core: Any, model: Any, config: dict[str, object]) -> Any:
    return core.compile_model(model, "CPU", config).create_infer_request()


def missing_openvino() -> str | None:
    """Return why OpenVINO can't be used, None where it can."""
    try:
        openvino = import_openvino()
    except ProviderError as error:
        return error.message.removesuffix(".")
    return None if "CPU" in openvino.Core().available_devices else "it has no CPU device here"
