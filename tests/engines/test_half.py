"""FP16 ONNX: what becomes half as large, and what stays float32 because half would not hold it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from sightline_engines.convert.calibration import Floats, Samples
from sightline_engines.convert.casts import tidy_casts
from sightline_engines.convert.half import half
from sightline_engines.convert.prepare import prepare
from sightline_engines.convert.session import run_float
from sightline_engines.recognise import recognise
from tests.engines.tiny_conv import SIDE, conv_model

MAPS = {"map8_w", "map16_w", "map32_w"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelProto:
    spec = recognise(conv_model(tmp_path_factory.mktemp("model") / "conv.onnx"))
    return prepare(spec, spec.input_size_wh)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Floats]:
    spec = recognise(conv_model(tmp_path_factory.mktemp("model") / "conv.onnx"))
    shown = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8)
    return list(Samples(shown, spec))


def in_float(model: ModelProto) -> set[str]:
    """Return the weights that are left in float32."""
    return {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}


def test_weights_are_half_as_large_and_the_decoding_is_not(
    source: ModelProto, pictures: list[Floats]
) -> None:
    made = half(source, pictures)
    onnx.checker.check_model(made, full_check=True)
    assert in_float(made) == {"pixels", "least"}
    (taken,), (given,) = made.graph.input, made.graph.output
    assert taken.type.tensor_type.elem_type == given.type.tensor_type.elem_type == TensorProto.FLOAT
    outputs = [name for node in made.graph.node for name in node.output]
    assert len(outputs) == len(set(outputs))
    casts = [node for node in made.graph.node if node.op_type == "Cast"]
    assert len(casts) == 1 + 3 + 1  # what comes in, the three maps, what goes out
    for one, other in zip(run_float(source, pictures), run_float(made, pictures), strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        ([], []),
        ([TensorProto.FLOAT, TensorProto.FLOAT16], [TensorProto.FLOAT16]),
        # There and back: what is left is the output's own name.
        ([TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.FLOAT], [TensorProto.FLOAT]),
        (
            [TensorProto.INT32, TensorProto.FLOAT16, TensorProto.FLOAT],
            [TensorProto.FLOAT16, TensorProto.FLOAT],
        ),
        (
            [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT32],
            [TensorProto.FLOAT16, TensorProto.INT32],
        ),
    ],
)
def test_a_way_through_half_and_back_is_cut_short(kinds: list[int], left: list[int]) -> None:
    assert kinds_of(tidy_casts(cast_in_turn(kinds))) == left


def cast_in_turn(kinds: list[int]) -> ModelProto:
    """Return a graph that takes the first kind and casts it to each of the others."""
    nodes = [
        helper.make_node("Cast", [f"x{n}"], [f"x{n + 1}"], to=kind)
        for n, kind in enumerate(kinds[1:])
    ]
    ports = [helper.make_tensor_value_info(f"x{n}", kind, [2]) for n, kind in enumerate(kinds)]
    graph = helper.make_graph(nodes, "casts", ports[:1], ports[-1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def kinds_of(model: ModelProto) -> list[int]:
    return [node.attribute[0].i for node in model.graph.node]


def test_what_grows_large_stays_float32(source: ModelProto, pictures: list[Floats]) -> None:
    loud = ModelProto()
    loud.CopyFrom(source)
    for tensor in loud.graph.initializer:
        gain = {"wide_w": 1e5, "map8_w": 1e-5, "map16_w": 1e-5, "map32_w": 1e-5}
        if tensor.name in gain:
            scaled = numpy_helper.to_array(tensor) * np.float32(gain[tensor.name])
            tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))
    made = half(loud, pictures)
    assert in_float(made) == {"pixels", "least", "wide_w", *MAPS}
    for one, other in zip(run_float(source, pictures), run_float(made, pictures), strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=0.02, atol=0.02)


def test_a_cast_that_only_a_branch_reads_stays() -> None:
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(op, ["half", "half"], [f"{name}_out"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, [1])],
        )
        for name, op in (("then", "Add"), ("else", "Sub"))
    }
    nodes = [
        helper.make_node("Cast", ["x"], ["there"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["there"], ["half"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["count"], ["unread"], to=TensorProto.INT64),
        helper.make_node("If", ["which"], ["y"], **branches),
    ]
    graph = helper.make_graph(
        nodes,
        "branches",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("count", TensorProto.INT32, [1]),
            helper.make_tensor_value_info("which", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    made = tidy_casts(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    onnx.checker.check_model(made, full_check=True)
    left = [node.output[0] for node in made.graph.node if node.op_type == "Cast"]
    assert left == ["half", "unread"]
    assert made.graph.node[0].input[0] == "x"
