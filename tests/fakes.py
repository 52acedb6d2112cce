"""Fakes with settable behaviour: an engine, a store of models, and pictures for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from sightline_engines.errors import ModelFileError
from sightline_engines.types import (
    Family,
    Image,
    ModelSpec,
    Preprocess,
    RawOutput,
    ServedModel,
    Tensor,
)

SIDE = 64  # of the fake engine's input, and of the pictures below

SPEC = ModelSpec(
    name="fake",
    path=Path("fake.onnx"),
    family=Family.END2END,
    input_size_wh=(SIDE, SIDE),
    labels=("person", "face", "=cmd|calc"),
    preprocess=Preprocess(letterbox="topleft"),
    licence="Apache-2.0",
)


def named(name: str, labels: tuple[str, ...] = SPEC.labels) -> ModelSpec:
    """Return the fake's spec under another name."""
    return replace(SPEC, name=name, labels=labels)


def grey(level: int, width: int = SIDE, height: int = SIDE) -> Image:
    """Return an even picture; the fake engine's score for it is `level` / 255."""
    return np.full((height, width, 3), level, np.uint8)


def encoded(image: Image, kind: str = ".jpg") -> bytes:
    """Return a picture as a file's bytes."""
    done, buffer = cv2.imencode(kind, image)
    assert done
    return buffer.tobytes()


def noise(width: int, height: int, seed: int = 0) -> Image:
    """Return a picture that no format shrinks."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return values.astype(np.uint8)


class FakeEngine:
    """Finds `boxes` boxes in the middle of each picture, scored by its brightness.

    Set `seconds` for the time of a batch, `failure` for one that fails, and use `held` to
    stop it in mid-batch.
    """

    def __init__(self, spec: ModelSpec = SPEC, seconds: float = 0.0, boxes: int = 1) -> None:
        self.spec = spec
        self.seconds = seconds
        self.boxes = boxes
        self.failure: Exception | None = None
        self.batches: list[int] = []
        self.let_go = threading.Event()  # set once the engine is closed
        self.busy = threading.Event()  # set while a batch is held
        self._free = threading.Event()
        self._free.set()

    @property
    def closed(self) -> bool:
        """Tell whether the engine was let go."""
        return self.let_go.is_set()

    @property
    def served(self) -> ServedModel:
        """Return what answers name."""
        return ServedModel(self.spec.name, self.spec.version, "fake", "fp32", "CPU")

    def infer(self, tensor: Tensor) -> RawOutput:
        """Return one row of boxes a picture."""
        if not self._free.is_set():
            self.busy.set()
            self._free.wait()
            self.busy.clear()
        time.sleep(self.seconds)
        self.batches.append(len(tensor))
        if self.failure is not None:
            raise self.failure
        width, height = self.spec.input_size_wh
        rows = np.zeros((len(tensor), self.boxes, 6), np.float32)
        rows[..., :4] = (width / 4, height / 4, width / 2, height / 2)
        rows[..., 4] = tensor[:, : height // 2, : width // 2].mean((1, 2, 3))[:, None] / 255
        rows[..., 5] = np.arange(self.boxes) % len(self.spec.labels)
        return (rows,)

    def close(self) -> None:
        """Note that the engine was let go."""
        self.let_go.set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stop at the next batch until the block ends."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()


class FakeModels:
    """A store of specs, with the engines that run them; loading waits while `go` is clear."""

    def __init__(self, engines: Sequence[FakeEngine]) -> None:
        self.engines = {engine.spec.name: engine for engine in engines}
        self.broken: dict[str, Exception] = {}
        self.loads: Sequence[str] = ()
        self.go = threading.Event()
        self.go.set()

    def list(self) -> Sequence[ModelSpec]:
        """Return every model, those that can't be loaded too."""
        return [engine.spec for engine in self.engines.values()]

    def find(self, name_or_path: str) -> ModelSpec:
        """Return a model by name."""
        if name_or_path not in self.engines:
            raise ModelFileError(f"There is no model {name_or_path}.")
        return self.engines[name_or_path].spec

    def load(self, spec: ModelSpec) -> FakeEngine:
        """Return a model's engine, or fail as it is set to."""
        self.loads = (*self.loads, spec.name)
        self.go.wait()
        if spec.name in self.broken:
            raise self.broken[spec.name]
        return self.engines[spec.name]
