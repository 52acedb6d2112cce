"""Refuse ONNX files that are hostile or broken, before a runtime sees them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import onnx
from google.protobuf.message import Message  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from sightline_engines.errors import ModelFileError
from sightline_engines.onnxlimits import OnnxLimits

_STANDARD = frozenset({"", "ai.onnx"})
_ACCEPTED = frozenset({*_STANDARD, "ai.onnx.ml"})
# What ONNX Runtime's quantiser writes, and what its optimiser makes of that.
_MICROSOFT = frozenset(
    {
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"),
        *("MatMulIntegerToFloat", "MatMulInteger16", "MatMulNBits", "GatherBlockQuantized"),
        *("QGemm", "QAttention", "QEmbedLayerNormalization", "ReduceSumInteger"),
        *("QLinearAdd", "QLinearMul", "QLinearAveragePool", "QLinearGlobalAveragePool"),
        *("QLinearConcat", "QLinearConv", "QLinearLeakyRelu", "QLinearReduceMean"),
        *("QLinearSigmoid", "QLinearSoftmax", "QLinearWhere"),
    }
)
_BITS = {
    **dict.fromkeys(("UINT2", "INT2"), 2),
    **dict.fromkeys(("UINT4", "INT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("FLOAT6E2M3", "FLOAT6E3M2"), 6),
    **dict.fromkeys(("UINT8", "INT8", "BOOL", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ"), 8),
    **dict.fromkeys(("FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT8E8M0"), 8),
    **dict.fromkeys(("UINT16", "INT16", "FLOAT16", "BFLOAT16"), 16),
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64", "COMPLEX64"), 64),
    "COMPLEX128": 128,
}


def check_model(model: ModelProto, limits: OnnxLimits, name: str) -> None:
    """Raise ModelFileError for the first thing that no detector needs."""
    refuse_external_data(model, name)
    if model.functions:
        raise ModelFileError(
            f"{name} defines functions of its own ('{model.functions[0].name}'), which are not "
            "accepted. Export it with them inlined: onnx.inliner.inline_local_functions(model)."
        )
    if model.training_info:
        raise ModelFileError(f"{name} carries a training graph; export it for inference.")
    for entry in model.metadata_props:
        if len(entry.value) > limits.text_bytes or len(entry.key) > limits.text_bytes:
            raise ModelFileError(
                f"{name} has metadata of {len(entry.value)} characters ('{entry.key[:40]}'); "
                f"the limit is {limits.text_bytes}."
            )
    for tensor in _tensors(model):
        _check_tensor(tensor, limits, name)
    _check_ports(model.graph, limits, name)
    _check_nodes(model.graph, limits, name)
    if model.ByteSize() <= limits.check_bytes:
        _check_by_onnx(model, limits, name)


def refuse_external_data(model: ModelProto, name: str) -> None:
    """Weights outside the file could name any file of this machine."""
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise ModelFileError(
                f"{name} keeps its weights in another file (ONNX external data, tensor "
                f"'{tensor.name}'), which is not accepted. Save it as one file: "
                "onnx.save(onnx.load('model.onnx'), 'one.onnx')."
            )


def _tensors(message: Message) -> Iterator[TensorProto]:
    """Walk every tensor of a model: weights, constants, subgraphs, functions."""
    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        children: Iterable[Message] = [value] if isinstance(value, Message) else value
        for child in children:
            yield from _tensors(child)


def _check_tensor(tensor: TensorProto, limits: OnnxLimits, name: str) -> None:
    """Compare what a tensor says it holds with what it holds."""
    called = f"the tensor '{tensor.name[:80]}' of {name}"
    if len(tensor.dims) > limits.rank or any(side < 0 for side in tensor.dims):
        raise ModelFileError(f"The shape of {called} is impossible: {list(tensor.dims)[:20]}.")
    count = math.prod(tensor.dims)
    if count > limits.elements:
        raise ModelFileError(
            f"The shape {list(tensor.dims)} of {called} has {count} elements; "
            f"the limit is {limits.elements}."
        )
    if tensor.HasField("segment"):
        raise ModelFileError(f"Only a part of {called} is in the file.")
    try:
        kind = TensorProto.DataType.Name(tensor.data_type)
    except ValueError:
        kind = "UNDEFINED"
    if kind == "STRING":
        holds, needs = len(tensor.string_data), count
    elif kind not in _BITS:
        raise ModelFileError(f"The type {tensor.data_type} of {called} is unknown.")
    elif tensor.HasField("raw_data"):
        holds, needs = len(tensor.raw_data), -(-count * _BITS[kind] // 8)
    else:
        holds, needs = _held(tensor, kind, count)
    if holds != needs:
        raise ModelFileError(
            f"The shape {list(tensor.dims)} of {called} asks for {needs} values or bytes, but it "
            f"holds {holds}; is the download complete?"
        )


def _held(tensor: TensorProto, kind: str, count: int) -> tuple[int, int]:
    """Return how many numbers a tensor holds in the field for its type, and needs."""
    numbers = 2 * count if kind.startswith("COMPLEX") else count
    if kind in ("FLOAT", "COMPLEX64"):
        return len(tensor.float_data), numbers
    if kind in ("DOUBLE", "COMPLEX128"):
        return len(tensor.double_data), numbers
    if kind == "INT64":
        return len(tensor.int64_data), numbers
    if kind in ("UINT32", "UINT64"):
        return len(tensor.uint64_data), numbers
    return len(tensor.int32_data), -(-count * min(8, _BITS[kind]) // 8)


def _check_ports(graph: GraphProto, limits: OnnxLimits, name: str) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    for what, values in (("inputs", inputs), ("outputs", list(graph.output))):
        if len(values) > limits.ports:
            raise ModelFileError(f"{name} has {len(values)} {what}; the limit is {limits.ports}.")
    for value in inputs:
        sides = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if len(sides) > limits.rank or any(s < 0 or s > limits.side for s in sides):
            raise ModelFileError(
                f"The input '{value.name[:80]}' of {name} has the shape {sides[:20]}; each side "
                f"may be {limits.side} at most."
            )


def _check_nodes(graph: GraphProto, limits: OnnxLimits, name: str) -> None:
    """Check operators, names and order, subgraphs included."""
    count = 0
    pending: list[tuple[GraphProto, frozenset[str], int]] = [(graph, frozenset(), 0)]
    while pending:
        inner, outside, depth = pending.pop()
        if depth > limits.subgraphs:
            raise ModelFileError(f"{name} has more than {limits.subgraphs} graphs in each other.")
        count += len(inner.node)
        if count > limits.nodes:
            raise ModelFileError(f"{name} has more than {limits.nodes} operators.")
        if inner.sparse_initializer:
            raise ModelFileError(f"{name} has sparse weights, which are not accepted.")
        for node in inner.node:
            _check_operator(node, name)
        known = _check_order(inner, outside, name)
        for node in inner.node:
            for attribute in node.attribute:
                if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                    raise ModelFileError(f"{name} has sparse weights, which are not accepted.")
                graphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
                pending += [(g, known, depth + 1) for g in graphs]


def _check_operator(node: NodeProto, name: str) -> None:
    domain, kind = node.domain, node.op_type
    standard = "" if domain in _STANDARD else domain
    if domain in _ACCEPTED and onnx.defs.has(kind, standard):
        return
    if domain == "com.microsoft" and kind in _MICROSOFT:
        return
    called = f"{domain}.{kind}" if domain else kind
    raise ModelFileError(
        f"{name} uses the custom operator '{called[:120]}', which is not accepted: supported are "
        "the operators of ONNX, and those that ONNX Runtime's quantiser writes. Export the model "
        "without it."
    )


def _check_order(graph: GraphProto, outside: frozenset[str], name: str) -> frozenset[str]:
    """Return the names that a graph knows; each is made once, and before it is used."""
    known = set(outside)
    own: set[str] = set()

    def make(made: str, once: bool) -> None:
        if not made:
            return
        if once and made in own:
            raise ModelFileError(f"{name} makes '{made[:80]}' twice.")
        own.add(made)
        known.add(made)

    names = [tensor.name for tensor in graph.initializer]
    if len(set(names)) != len(names):
        raise ModelFileError(f"{name} has two weights of one name.")
    for value in graph.input:
        make(value.name, once=True)
    for made in names:  # files of IR version 3 list each weight as an input too
        make(made, once=False)
    for node in graph.node:
        for used in node.input:
            if used and used not in known:
                raise ModelFileError(
                    f"{name} uses '{used[:80]}' before anything makes it: its operators are out "
                    "of order, or go in a circle."
                )
        for made in node.output:
            make(made, once=True)
    for value in graph.output:
        if value.name not in known:
            raise ModelFileError(f"{name} never makes its output '{value.name[:80]}'.")
    return frozenset(known)


def _check_by_onnx(model: ModelProto, limits: OnnxLimits, name: str) -> None:
    """Have onnx check attributes and types, and look at what passes between operators."""
    try:
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        first = str(error).strip().split("\n", 1)[0][:300]
        raise ModelFileError(f"{name} is not a valid ONNX file: {first}") from error
    except (RuntimeError, ValueError):  # no shapes to be had: each runtime finds its own
        return
    for value in inferred.graph.value_info:
        sides = [max(1, dim.dim_value) for dim in value.type.tensor_type.shape.dim]
        if math.prod(sides) > limits.elements:
            raise ModelFileError(
                f"'{value.name[:80]}' in {name} would have the shape {sides[:20]}, more than "
                f"{limits.elements} elements."
            )
