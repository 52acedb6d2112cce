"""A detector of four convolutions, for looking at what conversions do to a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from tests.engines.tiny import Dim, save

SIDE = 64
CLASSES = 2
CELLS = 84  # over strides 8, 16 and 32 of SIDE
_STRIDES = (8, 16, 32)


def conv_model(
    path: Path, *, batch: Dim = "batch", side: Dim = SIDE, any_size: bool = True
) -> Path:
    """Write a model laid out as YOLOv8: boxes in pixels and scores, (B, 4 + CLASSES, cells).

    Its convolutions are `first`, `each` (of each channel alone), `wide` and `map8`, `map16`,
    `map32`, which the head begins with. Without `any_size` its graph knows how many cells it has.
    """
    rng = np.random.default_rng(0)

    def random(*shape: int) -> NDArray[np.float32]:
        fan = float(np.prod(shape[1:]))
        return np.asarray(rng.standard_normal(shape) / np.sqrt(fan), np.float32)

    rows = 4 + CLASSES
    weights: dict[str, NDArray[np.generic]] = {
        "first_w": random(8, 3, 3, 3),
        "first_b": random(8, 1).reshape(8),
        "each_w": random(8, 1, 3, 3),
        "wide_w": random(16, 8, 3, 3),
        "unit": np.array(1 / 255, np.float32),
        "parts": np.array([4, CLASSES], np.int64),
        "pixels": np.array(12, np.float32),
        "least": np.array(1, np.float32),
    }
    nodes = [
        helper.make_node("Mul", ["images", "unit"], ["light"]),
        _conv("first", ["light", "first_w", "first_b"], kernel=3, stride=2),
        helper.make_node("Sigmoid", ["first"], ["gate"]),
        helper.make_node("Mul", ["first", "gate"], ["silu"]),
        _conv("each", ["silu", "each_w"], kernel=3, stride=2, group=8),
        helper.make_node("Relu", ["each"], ["relu"]),
        _conv("wide", ["relu", "wide_w"], kernel=3, stride=2),
        helper.make_node("Relu", ["wide"], ["at8"]),
        *(
            helper.make_node(
                "AveragePool", [f"at{s // 2}"], [f"at{s}"], kernel_shape=[2, 2], strides=[2, 2]
            )
            for s in _STRIDES[1:]
        ),
    ]
    for stride in _STRIDES:
        weights[f"map{stride}_w"] = 3 * random(rows, 16, 1, 1)
        cells = -1 if any_size else (SIDE // stride) ** 2
        weights[f"row{stride}"] = np.array([0, rows, cells], np.int64)
        nodes += [
            _conv(f"map{stride}", [f"at{stride}", f"map{stride}_w"], kernel=1, stride=1),
            helper.make_node("Reshape", [f"map{stride}", f"row{stride}"], [f"cells{stride}"]),
        ]
    nodes += [
        helper.make_node("Concat", [f"cells{s}" for s in _STRIDES], ["maps"], axis=2),
        helper.make_node("Split", ["maps", "parts"], ["sizes", "logits"], axis=1),
        helper.make_node("Abs", ["sizes"], ["positive"]),
        helper.make_node("Add", ["positive", "least"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "pixels"], ["boxes"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1),
    ]
    count: Dim = CELLS if side == SIDE else "cells"
    return save(
        path,
        nodes,
        weights,
        [batch, 3, side, side],
        [batch, rows, count],
        metadata={"names": "{0: 'one', 1: 'other'}"},
        opset=17,
    )


def _conv(name: str, inputs: list[str], *, kernel: int, stride: int, group: int = 1) -> NodeProto:
    return helper.make_node(
        "Conv",
        inputs,
        [name],
        name=name,
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
        pads=[kernel // 2] * 4,
        group=group,
    )
