"""A real inference through a model: Triton says READY of one whose Python process has died."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightline_engines.errors import EngineError, SightlineError
from sightline_engines.triton.steps.names import OUTPUT_JSON
from sightline_engines.triton.tensors import numpy_type

if TYPE_CHECKING:
    from sightline_engines.triton.client import Client
    from sightline_engines.triton.facts import Answer, TensorFacts

PICTURE_WH = (320, 240)
PROBE_S = 10.0  # the first inference of a model may build kernels
_DEAD = re.compile(r"stub process|is not healthy", re.I)  # as Triton 2.51 says it
_BUSY = re.compile(r"exceeds maximum queue size|request timeout expired", re.I)  # as well
_MARK = 64  # values at an input's begin that tell one probe from another
_rng = np.random.default_rng()


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a model answered, and after how long."""

    ok: bool
    error: str  # empty: none
    seconds: float

    @property
    def dead(self) -> bool:
        """Whether the model's Python process is gone; only a load brings another."""
        return _DEAD.search(self.error) is not None

    @property
    def busy(self) -> bool:
        """Whether the model only has too much to do: a load anew would make that worse."""
        return _BUSY.search(self.error) is not None


def probe(client: Client, name: str, timeout_s: float = PROBE_S) -> Probe:
    """Run a model once, on a picture where it takes bytes and on nearly nothing else.

    Never on the same twice: Triton's response cache would answer for a dead model.
    """
    return _timed(lambda: _run(client, name, timeout_s))


def probe_steps(client: Client, ensemble: Any, timeout_s: float = PROBE_S) -> Probe:
    """Run what an ensemble's `ModelConfig` would, step by step: it need not be loaded itself."""

    def run() -> None:
        tensors: dict[str, NDArray[Any]] = {}
        for step in ensemble.ensemble_scheduling.step:
            facts = client.metadata(step.model_name).inputs
            fed = {
                one.name: tensors.get(step.input_map[one.name], sample(one))
                for one in facts
                if one.name in step.input_map
            }
            found = client.infer(step.model_name, fed, timeout_s=timeout_s)
            for name, tensor in step.output_map.items():
                tensors[tensor] = _output(found, name, step.model_name)
            _check(found)

    return _timed(run)


def sample(tensor: TensorFacts) -> NDArray[Any]:
    """Return an input's value: a JPEG for bytes, else zeros; any size is 1.

    No two pictures are the same, nor two inputs of floats or of uint8.
    """
    shape = tuple(1 if size < 0 else size for size in tensor.shape)
    if tensor.datatype == "BYTES":
        return np.full(shape, picture(), np.object_)
    kind = numpy_type(tensor.datatype)
    if kind is None:
        raise EngineError(f"Inputs of type {tensor.datatype} can't be tried.")
    value = np.zeros(shape, kind)
    mark = value.reshape(-1)[:_MARK]
    if value.dtype.kind == "f":
        mark[:] = _rng.random(mark.size)
    elif value.dtype == np.uint8:
        mark[:] = _rng.integers(0, 256, mark.size)
    return value


def picture() -> bytes:
    """Return a JPEG of a grey ramp, a corner of it at random."""
    import cv2

    width, height = PICTURE_WH
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    image = np.repeat(np.tile(ramp, (height, 1))[:, :, None], 3, axis=2)
    image[:64, :64] = np.kron(_rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1)))
    return bytes(cv2.imencode(".jpg", image)[1])


def _run(client: Client, name: str, timeout_s: float) -> None:
    facts = client.metadata(name)
    fed: Mapping[str, NDArray[Any]] = {one.name: sample(one) for one in facts.inputs}
    _check(client.infer(name, fed, timeout_s=timeout_s))


def _output(answer: Answer, name: str, model: str) -> NDArray[Any]:
    if name not in answer.arrays:
        raise EngineError(f"'{model}' answers without its output {name}.")
    return answer.arrays[name]


def _check(answer: Answer) -> None:
    """Raise EngineError where our own picture was refused."""
    told = answer.arrays.get(OUTPUT_JSON)
    if told is None:
        return
    try:
        error = json.loads(bytes(told.flat[0])).get("error")
    except (ValueError, AttributeError, IndexError, TypeError) as problem:
        raise EngineError(f"{OUTPUT_JSON} isn't an object in JSON: {problem}.") from problem
    if error is not None:
        raise EngineError(f"A good picture is refused: {error.get('message', error)}")


def _timed(run: Callable[[], None]) -> Probe:
    began_s, error = time.monotonic(), ""
    try:
        run()
    except SightlineError as problem:
        error = problem.message
    return Probe(not error, error, time.monotonic() - began_s)
