"""INT8 ONNX: what becomes small, what stays exact, and what TensorRT takes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from sightline_engines.assets import shipped_model
from sightline_engines.convert.calibration import (
    Samples,
    calibration_samples,
    spread,
    unreadable_note,
)
from sightline_engines.convert.head import Head, Node, find_head
from sightline_engines.convert.prepare import prepare
from sightline_engines.convert.quantise import quantise, symmetric_problem, with_float_biases
from sightline_engines.convert.session import run_float
from sightline_engines.errors import ModelFileError
from sightline_engines.recognise import recognise
from sightline_engines.types import ModelSpec
from tests.engines.tiny import constant_model, random_raw
from tests.engines.tiny_conv import SIDE, conv_model


@pytest.mark.parametrize(
    ("count", "most", "chosen"),
    [(0, 5, []), (3, 5, [0, 1, 2]), (10, 5, [0, 2, 4, 6, 8]), (10, 1, [0])],
)
def test_pictures_are_chosen_evenly(count: int, most: int, chosen: list[int]) -> None:
    assert spread([Path(str(n)) for n in range(count)], most) == [Path(str(n)) for n in chosen]


@given(st.integers(1, 500), st.integers(1, 500))
def test_no_picture_is_chosen_twice(count: int, most: int) -> None:
    chosen = spread([Path(str(n)) for n in range(count)], most)
    assert len(set(chosen)) == len(chosen) == min(count, most)


def test_pictures_that_cannot_be_read_are_left_out_and_told(
    tmp_path: Path, shared_data: Path
) -> None:
    spec = recognise(shipped_model())
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    good = min((shared_data / "faces").rglob("*.jpg"))
    samples = calibration_samples([bad, good], spec, 10)
    assert samples[0].shape == (1, 3, 416, 416)
    unreadable, few = samples.notes
    assert "1 of 2 pictures" in unreadable
    assert "few pictures (1)" in few
    with pytest.raises(ModelFileError, match="None of the 1"):
        calibration_samples([bad], spec, 10)


@pytest.mark.parametrize(
    ("unreadable", "note"),
    [
        ([], ()),
        (["a (x)"], ("1 of 9 pictures can't be read: a (x).",)),
        (list("abcd"), ("4 of 9 pictures can't be read: a, b, c and others.",)),
    ],
)
def test_a_note_names_the_first_pictures(unreadable: list[str], note: tuple[str, ...]) -> None:
    assert unreadable_note(unreadable, 9) == note


@pytest.mark.parametrize(
    ("nodes", "head"),
    [
        ({}, Head((), ())),
        ({"end": Node("Result", ())}, Head((), ())),
        (
            {"c": Node("Conv", ()), "s": Node("Sigmoid", ("c",)), "end": Node("Result", ("s",))},
            Head(("s",), ("c",)),
        ),
        (
            {
                "map": Node("Conv", ()),
                "soft": Node("Softmax", ("map",)),
                "turn": Node("Transpose", ("soft",)),
                "mean": Node("Conv", ("turn",)),
                "end": Node("Result", ("mean",)),
            },
            Head(("soft", "turn", "mean"), ("map",)),
        ),
    ],
)
def test_the_head_begins_after_the_last_convolutions(nodes: dict[str, Node], head: Head) -> None:
    assert find_head(nodes, ["end"]) == head


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    return recognise(conv_model(tmp_path_factory.mktemp("model") / "conv.onnx"))


@pytest.fixture(scope="module")
def samples(spec: ModelSpec) -> Samples:
    pictures = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3)).astype(np.uint8)
    return Samples(pictures, spec)


@pytest.fixture(scope="module", params=[False, True], ids=["zero points", "symmetric"])
def symmetric(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def made(spec: ModelSpec, samples: Samples, symmetric: bool) -> ModelProto:
    return quantise(prepare(spec, spec.input_size_wh), samples, symmetric=symmetric)


def test_what_multiplies_all_channels_before_the_head_is_int8(made: ModelProto) -> None:
    onnx.checker.check_model(made, full_check=True)
    smaller = {
        output
        for node in made.graph.node
        if node.op_type == "DequantizeLinear"
        for output in node.output
    }
    convolutions = [node for node in made.graph.node if node.op_type == "Conv"]
    quantised = [node.name for node in convolutions if smaller.issuperset(node.input[:2])]
    exact = [node.name for node in convolutions if smaller.isdisjoint(node.input)]
    assert quantised == ["first", "wide"]
    assert exact == ["each", "map8", "map16", "map32"]


def test_what_is_int8_answers_nearly_as_its_source(
    made: ModelProto, spec: ModelSpec, samples: Samples
) -> None:
    source = prepare(spec, spec.input_size_wh)
    for one, other in zip(
        run_float(source, list(samples)), run_float(made, list(samples)), strict=True
    ):
        span = np.ptp(one[0], axis=2, keepdims=True)
        assert (np.abs(one[0] - other[0]) < 0.05 * span).all()


def test_symmetric_has_no_zero_points_and_no_whole_number_bias(
    made: ModelProto, symmetric: bool
) -> None:
    tensors = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    zeros = [
        tensors[node.input[2]]
        for node in made.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[2:]
    ]
    assert len(zeros) == 6  # two activations, both ways, and two weights
    assert all(tensor.dtype != np.int32 for tensor in tensors.values())
    assert (symmetric_problem(made) is None) == symmetric
    if symmetric:
        assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    else:
        assert any(zero.dtype == np.uint8 for zero in zeros)


def test_a_model_with_nothing_to_make_int8_says_so(tmp_path: Path) -> None:
    spec = recognise(constant_model(tmp_path / "m.onnx", random_raw("yolox", 2)))
    samples = Samples(np.zeros((1, 64, 64, 3), np.uint8), spec)
    with pytest.raises(ModelFileError, match="nothing to make INT8"):
        quantise(prepare(spec, spec.input_size_wh), samples)


def quantising(op: str, zero: Any = None) -> ModelProto:
    """Return a graph of one operator with a zero point of that kind, or none."""
    inputs = ["x", "scale", *(["zero"] if zero is not None else [])]
    tensors = [numpy_helper.from_array(np.array(1, np.float32), "scale")]
    if zero is not None:
        tensors.append(numpy_helper.from_array(np.asarray(zero), "zero"))
    nodes = [helper.make_node(op, inputs, ["y"])] if op else []
    return helper.make_model(helper.make_graph(nodes, "one", [], [], tensors))


@pytest.mark.parametrize(
    ("op", "zero", "problem"),
    [
        ("", None, None),
        ("Conv", None, None),
        ("QuantizeLinear", None, None),
        ("QuantizeLinear", np.int8(0), None),
        ("DequantizeLinear", np.zeros(3, np.int8), None),
        ("QuantizeLinear", np.int8(-3), "zero points other than 0 ('zero')"),
        ("DequantizeLinear", np.array([0, 1], np.int8), "zero points other than 0 ('zero')"),
        ("QuantizeLinear", np.uint8(0), "zero points other than 0 ('zero')"),
        ("DynamicQuantizeLinear", None, "while it runs (DynamicQuantizeLinear)"),
        ("ConvInteger", None, "while it runs (ConvInteger)"),
        ("MatMulInteger", None, "while it runs (MatMulInteger)"),
    ],
)
def test_what_tensorrt_does_not_take_is_said(op: str, zero: Any, problem: str | None) -> None:
    found = symmetric_problem(quantising(op, zero))
    assert found is None if problem is None else problem in str(found)


@pytest.mark.parametrize(("kind", "zero"), [(np.int32, 0), (np.int8, 0)])
def test_whole_number_biases_become_floats_and_weights_stay(kind: type, zero: int) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["whole", "scale", "zero"], ["bias"]),
            helper.make_node("Add", ["x", "bias"], ["y"]),
        ],
        "biased",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [
            numpy_helper.from_array(np.array([4, -6], kind), "whole"),
            numpy_helper.from_array(np.array(0.5, np.float32), "scale"),
            numpy_helper.from_array(np.array(zero, kind), "zero"),
        ],
    )
    made = with_float_biases(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    onnx.checker.check_model(made)
    kinds = [node.op_type for node in made.graph.node]
    if kind is np.int8:
        assert kinds == ["DequantizeLinear", "Add"]
        return
    (bias,) = made.graph.initializer
    assert numpy_helper.to_array(bias).tolist() == [2, -3]
    assert kinds == ["Add"]
