"""Tiny ONNX models whose answers are known, so that no weights are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

KINDS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}
Dim = int | str


def constant_model(
    path: Path,
    raw: NDArray[Any],
    *,
    size_wh: tuple[Dim, Dim] = (64, 64),
    batch: Dim = 1,
    gain: NDArray[Any] | None = None,
    kind: str = "float32",
    metadata: dict[str, str] | None = None,
    opset: int = 13,
    output_dims: list[Dim] | None = None,
) -> Path:
    """Write a model that answers raw + gain * (mean of its input) for each picture.

    `raw` and `gain` are (rows, columns).
    """
    dtype = np.dtype(kind)
    gain = np.zeros_like(raw) if gain is None else gain
    weights = {
        "raw": raw[None].astype(dtype),
        "gain": gain[None].astype(dtype),
        "column": np.array([-1, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["means"]),
        helper.make_node("Mul", ["means", "gain"], ["part"]),
        helper.make_node("Add", ["part", "raw"], ["output0"]),
    ]
    return save(
        path,
        nodes,
        weights,
        [batch, 3, size_wh[1], size_wh[0]],
        output_dims or [batch, *raw.shape],
        kind=kind,
        metadata=metadata,
        opset=opset,
    )


def probe_model(
    path: Path, *, size_wh: tuple[Dim, Dim] = (64, 24), batch: Dim = 1, kind: str = "float32"
) -> Path:
    """Write a model that answers its own input, laid out as an end-to-end head."""
    nodes = [helper.make_node("Reshape", ["images", "rows"], ["output0"])]
    weights = {"rows": np.array([0, -1, 6], np.int64)}
    sides = [side for side in size_wh if isinstance(side, int)]
    rows: Dim = sides[0] * sides[1] * 3 // 6 if len(sides) == 2 else "rows"
    shape: list[Dim] = [batch, 3, size_wh[1], size_wh[0]]
    return save(path, nodes, weights, shape, [batch, rows, 6], kind=kind)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, NDArray[Any]],
    input_dims: list[Dim],
    output_dims: list[Dim],
    *,
    kind: str = "float32",
    metadata: dict[str, str] | None = None,
    opset: int = 13,
) -> Path:
    """Write a graph with one input `images` and one output `output0`."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", KINDS[kind], input_dims)],
        [helper.make_tensor_value_info("output0", KINDS[kind], output_dims)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    path.write_bytes(model.SerializeToString())
    return path


def cell_count(size_wh: tuple[int, int] = (64, 64)) -> int:
    """Return the grid cells over strides 8, 16, 32."""
    return sum((size_wh[0] // s) * (size_wh[1] // s) for s in (8, 16, 32))


def random_raw(family: str, classes: int, size_wh: tuple[int, int] = (64, 64)) -> NDArray[Any]:
    """Return (rows, columns) of plausible numbers in a family's layout."""
    rng = np.random.default_rng(len(family) + classes)
    count = cell_count(size_wh)
    if family == "end2end":
        corner = rng.uniform(0, 40, (20, 2))
        boxes = np.concatenate((corner, corner + rng.uniform(4, 20, (20, 2))), 1)
        score = np.sort(rng.uniform(0, 1, (20, 1)), axis=0)[::-1]
        return np.concatenate((boxes, score, rng.integers(0, classes, (20, 1))), 1)
    rows = 3 * count if family == "yolov5" else count
    scores = rng.beta(0.5, 3, (rows, classes))
    objectness = rng.beta(0.5, 1, (rows, 1))
    if family == "yolox":
        boxes = rng.normal(0, 0.7, (rows, 4))
    else:
        boxes = np.concatenate((rng.uniform(0, 64, (rows, 2)), rng.uniform(4, 40, (rows, 2))), 1)
    if family == "yolov8":
        return np.concatenate((boxes, scores), 1).T.copy()
    return np.concatenate((boxes, objectness, scores), 1)


FAMILIES = ("yolox", "yolov5", "yolov8", "end2end")
