"""Find the end of a detector that turns the last convolutions' maps into boxes.

There coordinates in pixels lie beside scores from 0 to 1 in one tensor: eight bits for both,
or sixteen beyond 2048, cost more accuracy than the few operators cost time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto

_WEIGHTED = frozenset({"Conv", "MatMul", "Gemm", "Convolution", "GroupConvolution"})
_MOVES = frozenset({"Reshape", "Transpose", "Split", "Slice", "VariadicSplit", "Squeeze"})
_CONSTANT = frozenset({"Constant", "Parameter", "Result"})


@dataclass(frozen=True, slots=True)
class Node:
    """An operator and the names of those that feed it."""

    kind: str
    feeds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The names of the operators after the last weighted ones, and of those last ones."""

    decoding: tuple[str, ...]
    last: tuple[str, ...]


def find_head(nodes: Mapping[str, Node], ends: Iterable[str]) -> Head:
    """Walk back from the operators that give the outputs to the last convolutions.

    A convolution that a Softmax feeds is part of the decoding: YOLOv8's takes the mean of a
    distribution over distances. Names are in the order of `nodes`.
    """
    seen, last = set(), set()
    ahead = [name for name in ends if name in nodes]
    while ahead:
        name = ahead.pop()
        if name in seen or name in last:
            continue
        node = nodes[name]
        if node.kind in _WEIGHTED and not _after_softmax(nodes, name):
            last.add(name)
            continue
        seen.add(name)
        ahead += [feed for feed in node.feeds if feed in nodes]
    kept = [name for name in nodes if name in seen and nodes[name].kind not in _CONSTANT]
    return Head(tuple(kept), tuple(name for name in nodes if name in last))


def onnx_head(model: ModelProto) -> Head:
    """Return the head of an ONNX graph whose nodes all have names."""
    graph = model.graph
    maker = {output: node.name for node in graph.node for output in node.output}
    nodes = {
        node.name: Node(node.op_type, tuple(maker[name] for name in node.input if name in maker))
        for node in graph.node
    }
    return find_head(nodes, [maker[port.name] for port in graph.output if port.name in maker])


def openvino_head(model: Any) -> Head:
    """Return the head of an `openvino.Model`."""
    nodes = {
        op.get_friendly_name(): Node(
            op.get_type_name(),
            tuple(
                op.input_value(i).get_node().get_friendly_name() for i in range(op.get_input_size())
            ),
        )
        for op in model.get_ordered_ops()
    }
    return find_head(nodes, [result.get_friendly_name() for result in model.get_results()])


def _after_softmax(nodes: Mapping[str, Node], name: str) -> bool:
    for feed in nodes[name].feeds:
        node = nodes.get(feed)
        while node is not None and node.kind in _MOVES and node.feeds:
            node = nodes.get(node.feeds[0])
        if node is not None and node.kind == "Softmax":
            return True
    return False
