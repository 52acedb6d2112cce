"""Casts between float32 and half precision that a conversion leaves and nobody needs."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import ModelProto, NodeProto, TensorProto, shape_inference


def tidy_casts(model: ModelProto) -> ModelProto:
    """Drop casts that are made twice, detours through half precision, and what is unused, in place.

    ONNX Runtime casts what an operator in float32 gives to half, and back for the next one in
    float32. On that way large values are lost, which is what both are in float32 for.
    """
    _drop_repeated(model)
    _join(model, _detours(model))
    _drop_unused(model)
    return model


def _drop_repeated(model: ModelProto) -> None:
    """Drop casts that are there once for each reader, all of one name."""
    made: set[str] = set()
    repeated = []
    for node in model.graph.node:
        if node.op_type == "Cast" and made.issuperset(node.output):
            repeated.append(node)
        made.update(node.output)
    for node in repeated:
        model.graph.node.remove(node)


def _detours(model: ModelProto) -> dict[str, str]:
    """Return what comes out of a cast to half and back, and the float32 that went in."""
    casts = {node.output[0]: node for node in model.graph.node if node.op_type == "Cast"}
    inferred = shape_inference.infer_shapes(model).graph
    floats = {
        value.name
        for value in (*inferred.value_info, *inferred.input)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    found = {}
    for back, node in casts.items():
        there = casts.get(node.input[0])
        if there is None or (_kind(there), _kind(node)) != (TensorProto.FLOAT16, TensorProto.FLOAT):
            continue
        if there.input[0] in floats:
            found[back] = there.input[0]
    return found


def _join(model: ModelProto, detours: Mapping[str, str]) -> None:
    """Let those that read the end of a detour read its beginning."""
    named = _named(model)
    for node in list(model.graph.node):
        if node.op_type == "Cast" and node.output[0] in detours:
            if node.output[0] not in named:
                model.graph.node.remove(node)
                continue
            node.input[0] = detours[node.output[0]]  # it keeps its name: float32 to float32
        for place, name in enumerate(node.input):
            node.input[place] = detours.get(name, name)


def _drop_unused(model: ModelProto) -> None:
    """Drop casts between the two that nobody reads any more."""
    named = _named(model)
    while True:
        read = named.union(*(node.input for node in model.graph.node))
        unused = [
            node
            for node in model.graph.node
            if node.op_type == "Cast"
            and _kind(node) in (TensorProto.FLOAT, TensorProto.FLOAT16)
            and read.isdisjoint(node.output)
        ]
        if not unused:
            return
        for node in unused:
            model.graph.node.remove(node)


def _named(model: ModelProto) -> set[str]:
    """Return the names that have to stay: outputs, and what branches and loops read."""
    found = {value.name for value in model.graph.output}
    waiting = list(model.graph.node)
    while waiting:
        for attribute in waiting.pop().attribute:
            for graph in (attribute.g, *attribute.graphs):
                found.update(value.name for value in graph.output)
                found.update(name for node in graph.node for name in node.input)
                waiting.extend(graph.node)
    return found


def _kind(cast: NodeProto) -> int:
    return next(int(attribute.i) for attribute in cast.attribute if attribute.name == "to")
