"""A classifier of a few weights: tells pictures by the mean of each colour."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

CLASSES = ("dark", "red", "green", "blue")
SIDE = 32


def tiny_classifier() -> bytes:
    """Return an ONNX file: float [N, 3, SIDE, SIDE] in, logits [N, 4] out."""
    weights = np.vstack([-np.ones((1, 3)), np.eye(3)]).astype(np.float32).T
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["means"]),
            helper.make_node("Flatten", ["means"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        ],
        "shades",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(CLASSES)])],
        [numpy_helper.from_array(weights, "weights")],
    )
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
