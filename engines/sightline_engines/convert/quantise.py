"""INT8 ONNX: quantise and dequantise operators (QDQ), calibrated, weights per channel.

For processors activations are unsigned with a zero point; TensorRT takes symmetric ones alone.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper, shape_inference

from sightline_engines.convert.head import onnx_head
from sightline_engines.convert.prepare import in_order, named_nodes, with_opset
from sightline_engines.convert.ranges import Feeds, value_ranges
from sightline_engines.convert.session import hushed
from sightline_engines.errors import ModelFileError
from sightline_engines.progress import Progress, quiet
from sightline_engines.runtimes import import_onnxruntime

_OPSET = 13  # the first with a scale per channel
# What multiplies by weights, at its inputs alone: before SiLU values have a wide range.
_QUANTISED = ("Conv", "MatMul", "Gemm")


def quantise(
    model: ModelProto, samples: Feeds, progress: Progress = quiet, *, symmetric: bool = False
) -> ModelProto:
    """Return the model in INT8; what turns maps into boxes stays float32.

    Symmetric, every zero point is 0, as TensorRT wants it. Raises ModelFileError where it can't.
    """
    # ONNX Runtime's own preparation doesn't run with onnx 1.23 (it goes through external data);
    # onnxslim did the same before: constants folded, batch norms fused. Shapes are left.
    prepared = shape_inference.infer_shapes(with_opset(model, _OPSET))
    nodes = _to_quantise(prepared)
    if not nodes:
        raise ModelFileError(
            "The model has no convolution or matrix product before its head, so there is nothing "
            "to make INT8. Take fp32 or fp16."
        )
    read = dict.fromkeys(name for node in nodes for name in _activations(prepared, node))
    ranges = value_ranges(prepared, list(read), samples, progress)
    try:
        return _written(prepared, nodes, ranges, symmetric=symmetric)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise ModelFileError(
            f"The model can't be quantised: {error}. Export it again with opset 17, or take fp16."
        ) from error


def _written(
    model: ModelProto,
    nodes: Sequence[NodeProto],
    ranges: Mapping[str, tuple[float, float]],
    *,
    symmetric: bool,
) -> ModelProto:
    """Have ONNX Runtime write the operators around `nodes`, in place."""
    import_onnxruntime()
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    found = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }
    options: dict[str, Any] = {
        "ActivationSymmetric": symmetric,
        "WeightSymmetric": True,
        "OpTypesToExcludeOutputQuantization": list(_QUANTISED),
        "QuantizeBias": False,  # TensorRT takes no INT32 bias
    }
    with hushed(""), redirect_stdout(io.StringIO()):
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if symmetric else QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.Percentile, found),
            nodes_to_quantize=[node.name for node in nodes],
            nodes_to_exclude=[],
            op_types_to_quantize=list(_QUANTISED),
            extra_options=options,
        )
        quantizer.quantize_model()
    made: ModelProto = quantizer.model.model
    return in_order(named_nodes(made))


def _to_quantise(model: ModelProto) -> list[NodeProto]:
    """Return the operators that become INT8.

    Not the head, and no convolution that works on each channel alone: one scale for all its
    channels' inputs took 0.26 of yolox_nano's mAP50-95 of 0.32, and it is a small part of the work.
    """
    head = onnx_head(model)
    exact = {*head.decoding, *head.last}
    weights = {tensor.name for tensor in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.op_type in _QUANTISED
        and node.name not in exact
        and not any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
        and any(name in weights for name in node.input)
    ]


def _activations(model: ModelProto, node: NodeProto) -> list[str]:
    """Return which of an operator's inputs are no weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [name for name in node.input[:2] if name not in weights]


def symmetric_problem(model: ModelProto) -> str | None:
    """Return why TensorRT wouldn't take a quantised model, None where nothing speaks against it."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"):
            return f"it chooses its scales while it runs ({node.op_type})"
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or len(node.input) < 3:
            continue
        zero = weights.get(node.input[2])
        if zero is None:
            continue
        if zero.data_type == TensorProto.UINT8 or numpy_helper.to_array(zero).any():
            return f"it has zero points other than 0 ('{node.input[2]}')"
    return None


def with_float_biases(model: ModelProto) -> ModelProto:
    """Return a QDQ model with its biases as float32, in place: TensorRT takes no INT32 ones.

    Files that were quantised here have none; others may.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    biases: list[tuple[NodeProto, NDArray[np.float32]]] = []
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in weights:
            continue
        values = numpy_helper.to_array(weights[node.input[0]])
        if values.dtype == np.int32 and node.input[1] in weights:
            scale = numpy_helper.to_array(weights[node.input[1]])
            biases.append((node, np.asarray(values * scale, np.float32)))
    for node, bias in biases:
        model.graph.initializer.append(numpy_helper.from_array(bias, node.output[0]))
        model.graph.node.remove(node)
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model
