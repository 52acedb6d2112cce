"""Run a model as it lies in memory, for looking at what a step of a conversion changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from sightline_engines.errors import ModelFileError
from sightline_engines.runtimes import import_onnxruntime

# What a model is run on: every input by name, or the one array of a model of one input.
Feed: TypeAlias = NDArray[Any] | Mapping[str, NDArray[Any]]

_NOTHING = 4  # but what ends the process: a failure is raised, and says the same


def float_session(model: ModelProto) -> Callable[..., list[NDArray[Any]]]:
    """Return what runs a model on the CPU: (its inputs, names of outputs) -> outputs.

    Without names it returns every output. Raises ModelFileError where ONNX Runtime refuses the
    model; so does what is returned, where it fails on an input.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _NOTHING
    # Just as the model is written: fused operators round otherwise, and what is looked at are
    # differences.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with _refusals():
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    taken = session.get_inputs()[0].name

    def run(value: Feed, names: Sequence[str] | None = None) -> list[NDArray[Any]]:
        if names is not None and not names:
            return []
        with _refusals():
            fed = value if isinstance(value, Mapping) else {taken: value}
            outputs: list[NDArray[Any]] = session.run(names, fed)
            return outputs

    return run


def run_float(model: ModelProto, inputs: Sequence[Feed]) -> list[list[NDArray[Any]]]:
    """Return every output for each of some inputs of a model's own kind, on the CPU.

    Raises ModelFileError where ONNX Runtime refuses it.
    """
    run = float_session(model)
    return [run(value) for value in inputs]


@contextmanager
def _refusals() -> Iterator[None]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    refusals = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.NotImplemented)
    try:
        yield
    except (*refusals, state.RuntimeException, RuntimeError, ValueError) as error:
        raise ModelFileError(f"ONNX Runtime can't run the model: {error}") from error


def agree(one: ModelProto, other: ModelProto, inputs: Sequence[Feed]) -> bool:
    """Tell whether two models answer alike, to 0.1 % of the largest value."""
    for a, b in zip(run_float(one, inputs), run_float(other, inputs), strict=True):
        for left, right in zip(a, b, strict=True):
            largest = float(np.abs(left.astype(np.float64)).max(initial=1e-6))
            if left.shape != right.shape or not np.allclose(left, right, 1e-3, 1e-3 * largest):
                return False
    return True


@contextmanager
def hushed(*names: str) -> Iterator[None]:
    """Let libraries' loggers tell nothing below an error ("" is the root logger)."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
