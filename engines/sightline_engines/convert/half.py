"""FP16 ONNX: weights and most operators in half precision, float32 at both ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, TensorProto, helper, shape_inference

from sightline_engines.convert.casts import tidy_casts
from sightline_engines.convert.head import onnx_head
from sightline_engines.convert.prepare import in_order, named_nodes
from sightline_engines.convert.session import Feed, hushed, run_float
from sightline_engines.runtimes import import_onnxruntime

# Sums over many values and powers leave fp16's range or lose its 11 bits.
_EXACT = (
    "Exp",
    "Pow",
    "ReduceMean",
    "ReduceSum",
    "ReduceL2",
    "LayerNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "LpNormalization",
)
_LARGEST = 20_000.0  # of a value that fp16 is trusted with: a third of what it can hold


def half(model: ModelProto, inputs: Sequence[Feed]) -> ModelProto:
    """Return the model in FP16; its input and output stay float32.

    Operators that decode boxes stay float32 (above 2048 fp16 knows even numbers only), and those
    whose values grow large on `inputs`.
    """
    import_onnxruntime()
    from onnxruntime.transformers.float16 import (
        DEFAULT_OP_BLOCK_LIST,
        convert_float_to_float16,
    )

    exact = {*onnx_head(model).decoding, *_overflowing(model, inputs)}
    copy = ModelProto()
    copy.CopyFrom(model)
    with hushed("onnxruntime.transformers.float16", ""):
        made = convert_float_to_float16(
            copy,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_EXACT],
            node_block_list=sorted(exact),
        )
    return in_order(named_nodes(tidy_casts(made)))


def _overflowing(model: ModelProto, inputs: Sequence[Feed]) -> set[str]:
    """Return the operators that take or give values too large for fp16, by looking."""
    seen = ModelProto()
    seen.CopyFrom(model)
    seen = shape_inference.infer_shapes(seen)
    floats = [
        value.name
        for value in seen.graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    ]
    made = {name for node in model.graph.node for name in node.output}
    already = {value.name for value in model.graph.output}
    shown = [name for name in floats if name in made and name not in already]
    watched = [value.name for value in model.graph.output] + shown
    seen.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in shown
    )
    large: set[str] = set()
    for feed in inputs:  # one at a time: every value of a network is a lot
        for name, value in zip(watched, run_float(seen, [feed])[0], strict=True):
            if np.abs(value.astype(np.float64)).max(initial=0) > _LARGEST:
                large.add(name)
    return {n.name for n in model.graph.node if large.intersection((*n.input, *n.output))}
