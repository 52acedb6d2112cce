"""Infer the shape of a model's output, with a bound on what that may cost.

onnx also computes shapes that the graph puts together out of numbers, which exporters of open
picture sizes need. It does so in full: a few hundred bytes of Concat after Concat, each of twice
the length, take all memory there is. So the lengths are counted first.
"""

from __future__ import annotations

import math

import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, shape_inference

_NUMBERS = (TensorProto.INT64, TensorProto.INT32)  # the types that shapes are computed in
_MOST_NUMBERS = 4096  # in one tensor; a shape has a handful
_MOST_IN_ALL = 2**20
_FOLLOWED = frozenset(
    schema.name
    for schema in onnx.defs.get_all_schemas()
    if not schema.domain and schema.has_data_propagation_function
)


def inferred_output(
    model: ModelProto, input_name: str, size_wh: tuple[int, int], output_name: str
) -> list[int | None]:
    """Return an output's shape at a picture size, None for a side that can't be told.

    [] means that nothing of it can. What the file itself says of shapes is taken for the input
    alone. Raises RuntimeError, ValueError or InferenceError where onnx can't follow.
    """
    light = _without_weights(model, input_name)
    picture = light.graph.input[0].type.tensor_type.shape
    for dim, side in zip(picture.dim[2:], size_wh[::-1], strict=True):
        dim.dim_value = side
    found = shape_inference.infer_shapes(light)
    if _stays_small(found):
        found = shape_inference.infer_shapes(light, data_prop=True)
    output = next(value for value in found.graph.output if value.name == output_name)
    sides = output.type.tensor_type.shape.dim
    return [side.dim_value if side.dim_value > 0 else None for side in sides]


def _without_weights(model: ModelProto, input_name: str) -> ModelProto:
    """Return a copy with neither the values of large weights nor any shape that is claimed."""
    light = ModelProto(ir_version=max(4, model.ir_version))  # weights need not be inputs
    light.opset_import.extend(model.opset_import)
    light.graph.name = "light"
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(value for value in model.graph.input if value.name == input_name)
    for weight in model.graph.initializer:
        if math.prod(weight.dims) <= _MOST_NUMBERS:
            light.graph.initializer.append(weight)
        else:
            light.graph.initializer.add(
                name=weight.name, dims=weight.dims, data_type=weight.data_type
            )
    for value in model.graph.output:
        bare = light.graph.output.add(name=value.name)
        bare.type.tensor_type.elem_type = value.type.tensor_type.elem_type
    return light


def _stays_small(found: ModelProto) -> bool:
    """Tell whether following the numbers through a graph stays cheap; shapes are inferred."""
    graph = found.graph
    values = (*graph.value_info, *graph.input, *graph.output)
    known = {value.name: value for value in values}
    numbers: dict[str, float] = {}  # most that a tensor may hold of them
    ranks: dict[str, float] = {}  # most sides that it may have
    for weight in graph.initializer:
        numbers[weight.name] = _in_line(weight)
        ranks[weight.name] = len(weight.dims)
    for value in graph.input:
        ranks[value.name] = len(value.type.tensor_type.shape.dim)
    total = 0.0
    for node in graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            return False
        count, rank = _numbers(node, numbers, ranks), _rank(node, numbers, ranks)
        for name in node.output:
            most, sides = _told(known.get(name), rank)
            numbers[name], ranks[name] = min(count, most), sides
            total += numbers[name]
            if numbers[name] > _MOST_NUMBERS or total > _MOST_IN_ALL:
                return False
    return True


def _numbers(node: NodeProto, numbers: dict[str, float], ranks: dict[str, float]) -> float:
    """Return the most numbers that are followed out of a node."""
    given = [numbers.get(name, 0) for name in node.input]
    match node.op_type:
        case "Constant":
            return max((_length(attribute) for attribute in node.attribute), default=0)
        case "Shape":
            return max((ranks.get(name, 0) for name in node.input), default=0)
        case "Concat":
            return sum(given)
        case kind if kind in _FOLLOWED:
            return max(1, *given, 0)
    return 0


def _rank(node: NodeProto, numbers: dict[str, float], ranks: dict[str, float]) -> float:
    """Return the most sides of what a node makes: a shape that it is given may be any long."""
    given = [max(ranks.get(name, 0), numbers.get(name, 0)) for name in node.input]
    more = 0.0
    if node.op_type == "Unsqueeze":
        more = sum(len(a.ints) for a in node.attribute) + sum(
            numbers.get(name, 0) for name in node.input[1:]
        )
    return max(given, default=1) + more


def _length(attribute: onnx.AttributeProto) -> int:
    return max(1, len(attribute.ints), _in_line(attribute.t))


def _in_line(tensor: TensorProto) -> int:
    """Return how many numbers a constant gives to follow: onnx looks into lists and scalars."""
    is_list = len(tensor.dims) <= 1 and tensor.data_type in _NUMBERS
    return math.prod(tensor.dims) if is_list else 0


def _told(value: ValueInfoProto | None, rank: float) -> tuple[float, float]:
    """Return the most (numbers, sides) of a tensor by what was inferred of it."""
    if value is None or not value.type.tensor_type.HasField("shape"):
        return math.inf, rank
    tensor = value.type.tensor_type
    sides = [side.dim_value for side in tensor.shape.dim]
    if tensor.elem_type not in _NUMBERS:
        return 0, len(sides)
    return (math.prod(sides) if all(side > 0 for side in sides) else math.inf), len(sides)
