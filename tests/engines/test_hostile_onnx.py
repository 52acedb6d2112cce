"""ONNX files made to do harm: refused before a runtime sees them, with a sentence that helps."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from sightline_engines.errors import ModelFileError
from sightline_engines.graph import output_shape
from sightline_engines.onnxfile import parse_onnx, read_onnx
from sightline_engines.onnxlimits import OnnxLimits
from sightline_engines.shapes import inferred_output
from tests.engines.tiny import constant_model, random_raw, save

F = TensorProto.FLOAT


def model(change: Callable[[GraphProto], object] | None = None) -> ModelProto:
    """Return a small fine model, changed."""
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["y"]),
            helper.make_node("Add", ["y", "w"], ["z"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", F, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("z", F, ["n", 3, 4, 4])],
        [numpy_helper.from_array(np.ones((4, 4), np.float32), "w")],
    )
    if change is not None:
        change(graph)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(kind: str, inputs: list[str], outputs: list[str], domain: str = "") -> onnx.NodeProto:
    return helper.make_node(kind, inputs, outputs, domain=domain)


def weight(graph: GraphProto, name: str, dims: list[int], **fields: Any) -> None:
    graph.initializer.append(TensorProto(name=name, dims=dims, data_type=F, **fields))


def nested(depth: int) -> onnx.NodeProto:
    """Return an If with graphs inside graphs."""
    inner = node("Identity", ["x"], ["i0"])
    for level in range(1, depth + 1):
        branch = helper.make_graph(
            [inner], "b", [], [helper.make_tensor_value_info(inner.output[0], F, None)]
        )
        inner = helper.make_node("If", ["x"], [f"i{level}"], then_branch=branch)
    return inner


def external(graph: GraphProto, location: str) -> None:
    onnx.external_data_helper.set_external_data(graph.initializer[0], location)


HOSTILE: list[tuple[str, Callable[[GraphProto], object]]] = [
    ("in another file", lambda g: external(g, "../../etc/passwd")),
    ("in another file", lambda g: external(g, "/etc/passwd")),
    ("in another file", lambda g: external(g, "weights.bin")),
    ("custom operator 'evil.Load'", lambda g: g.node.append(node("Load", ["x"], ["q"], "evil"))),
    ("custom operator 'Bogus'", lambda g: g.node.append(node("Bogus", ["x"], ["q"]))),
    (
        "custom operator 'com.microsoft.Attention'",
        lambda g: g.node.append(node("Attention", ["x"], ["q"], "com.microsoft")),
    ),
    (
        "custom operator 'org.pytorch.aten.ATen'",
        lambda g: g.node.append(node("ATen", ["x"], ["q"], "org.pytorch.aten")),
    ),
    (
        "asks for 64 values or bytes, but it holds 4",
        lambda g: weight(g, "a", [16], raw_data=b"1234"),
    ),
    (
        "asks for 3 values or bytes, but it holds 2",
        lambda g: weight(g, "a", [3], float_data=[1, 2]),
    ),
    ("has 1000000000000 elements", lambda g: weight(g, "a", [10**6, 10**6], raw_data=b"")),
    ("has .* elements", lambda g: weight(g, "a", [2**62, 2**62, 2**62], raw_data=b"")),
    ("shape of the tensor 'a' .* impossible", lambda g: weight(g, "a", [-1], raw_data=b"")),
    ("impossible", lambda g: weight(g, "a", [1] * 20, raw_data=b"1234")),
    (
        "type 99 .* unknown",
        lambda g: g.initializer.append(TensorProto(name="a", dims=[1], data_type=99)),
    ),
    ("two weights of one name", lambda g: weight(g, "w", [1], raw_data=b"1234")),
    ("makes 'y' twice", lambda g: g.node.append(node("Relu", ["x"], ["y"]))),
    ("go in a circle", lambda g: g.node.insert(0, node("Relu", ["z"], ["a"]))),
    ("go in a circle", lambda g: g.node.append(node("Relu", ["a"], ["a"]))),
    (
        "never makes its output 'q'",
        lambda g: g.output.append(helper.make_empty_tensor_value_info("q")),
    ),
    (
        "each side may be 8192",
        lambda g: g.input.append(helper.make_tensor_value_info("i", F, [1, 3, 10**6, 10**6])),
    ),
    (
        "64",
        lambda g: [
            g.input.append(helper.make_tensor_value_info(f"i{n}", F, [1])) for n in range(70)
        ],
    ),
    ("more than 8 graphs in each other", lambda g: g.node.append(nested(12))),
    ("nested deeper", lambda g: g.node.append(nested(25))),
    (
        "sparse",
        lambda g: g.sparse_initializer.append(
            helper.make_sparse_tensor(
                helper.make_tensor("s", F, [1], [1.0]),
                helper.make_tensor("i", TensorProto.INT64, [1], [0]),
                [10**9],
            )
        ),
    ),
    ("not a valid ONNX file", lambda g: g.node.append(node("Add", ["x"], ["q"]))),
    (
        "would have the shape",
        lambda g: (
            g.initializer.append(numpy_helper.from_array(np.array([10**5, 10**5]), "far")),
            g.node.append(node("ConstantOfShape", ["far"], ["q"])),
        ),
    ),
]


@pytest.mark.parametrize(("says", "change"), HOSTILE)
def test_a_hostile_file_is_refused_and_told_why(
    tmp_path: Path, says: str, change: Callable[[GraphProto], object]
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(change).SerializeToString())
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=says) as caught:
            read_onnx(path)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()
    assert len(caught.value.message) < 600


def test_the_model_that_they_are_made_from_is_fine() -> None:
    assert [port.name for port in parse_onnx(model().SerializeToString(), "m").inputs] == ["x"]


def test_functions_and_training_graphs_are_refused() -> None:
    functions = model()
    functions.functions.append(
        helper.make_function("own", "F", ["a"], ["b"], [node("Relu", ["a"], ["b"])], [])
    )
    training = model()
    training.training_info.add()
    for made, says in ((functions, "functions of its own"), (training, "training graph")):
        with pytest.raises(ModelFileError, match=says):
            parse_onnx(made.SerializeToString(), "m")


def test_what_the_quantiser_writes_is_accepted() -> None:
    def quantised(graph: GraphProto) -> None:
        graph.initializer.append(numpy_helper.from_array(np.array(0.1, np.float32), "scale"))
        graph.initializer.append(numpy_helper.from_array(np.array(0, np.uint8), "zero"))
        inputs = ["x", "scale", "zero"]
        graph.node.append(node("QuantizeLinear", inputs, ["q"], "com.microsoft"))

    made = model(quantised)
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert parse_onnx(made.SerializeToString(), "m").has_op("QuantizeLinear")


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (OnnxLimits(file_bytes=100), "bytes; the limit is 100"),
        (OnnxLimits(fields=20), "more than 20 fields"),
        (OnnxLimits(nodes=1), "more than 1 operators"),
        (OnnxLimits(elements=10), "elements; the limit is 10"),
        (OnnxLimits(text_bytes=3), "metadata of 5 characters"),
    ],
)
def test_each_limit_is_kept(limits: OnnxLimits, says: str) -> None:
    made = model()
    helper.set_model_props(made, {"key": "value"})
    with pytest.raises(ModelFileError, match=says):
        parse_onnx(made.SerializeToString(), "m", limits)


def test_a_file_of_empty_operators_is_refused_before_it_is_parsed() -> None:
    empty = b"\x0a\x00" * 200_000  # would become a hundred times as much
    graph = b"\x3a" + _varint(len(empty)) + empty
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match="more than 50000 fields"):
            parse_onnx(graph, "m", OnnxLimits(fields=50_000))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_numbers_that_grow_when_read_are_limited() -> None:
    made = model()
    made.graph.initializer.append(
        TensorProto(name="a", dims=[3000], data_type=7, int64_data=[1] * 3000)
    )
    with pytest.raises(ModelFileError, match="single numbers"):
        parse_onnx(made.SerializeToString(), "m", OnnxLimits(packed_bytes=2000))


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=1, max_size=12), st.integers(0, 250), st.booleans())
def test_noise_is_refused_or_read(noise: bytes, place: int, cut: bool) -> None:
    data = bytearray(model().SerializeToString())
    data[place : place + len(noise)] = noise
    try:
        parse_onnx(bytes(data[: place + 20] if cut else data), "m.onnx")
    except ModelFileError:
        return


def test_a_folder_or_a_pipe_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ModelFileError, match=r"can't be read|plain file"):
        read_onnx(tmp_path / "folder.onnx")


def test_real_weights_are_still_read(weights: Path) -> None:
    for path in sorted(weights.glob("*.onnx")):
        assert read_onnx(path).inputs


def test_tiny_models_are_still_read(tmp_path: Path) -> None:
    assert read_onnx(constant_model(tmp_path / "m.onnx", random_raw("yolov8", 2))).inputs


def doubling(times: int, *, hidden: bool) -> ModelProto:
    """Return a model of open size whose shape is computed from ever longer lists."""
    nodes = [node("Shape", ["images"], ["c"])]
    weights = [numpy_helper.from_array(np.array([1, -1, 6], np.int64), "rows")]
    if hidden:  # from onnx's plain inference, by axes that it doesn't look up
        weights.append(numpy_helper.from_array(np.array([0], np.int64), "zero"))
        nodes += [
            node("Add", ["zero", "zero"], ["axes"]),
            node("Unsqueeze", ["c", "axes"], ["u"]),
            node("Squeeze", ["u", "axes"], ["d"]),
        ]
    last = nodes[-1].output[0]
    for number in range(times):
        made = helper.make_node("Concat", [last, last], [f"c{number}"], axis=0)
        nodes, last = [*nodes, made], made.output[0]
    nodes += [node("Expand", ["images", last], ["e"]), node("Reshape", ["e", "rows"], ["out"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", F, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("out", F, [1, "n", 6])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(("times", "follows"), [(0, True), (4, True), (12, False), (20, False)])
@pytest.mark.parametrize("hidden", [False, True])
def test_numbers_that_grow_without_end_are_not_followed(
    monkeypatch: pytest.MonkeyPatch, times: int, follows: bool, hidden: bool
) -> None:
    followed = []
    infer = onnx.shape_inference.infer_shapes

    def watched(proto: ModelProto, *, data_prop: bool = False) -> ModelProto:
        followed.append(data_prop)
        return infer(proto, data_prop=data_prop and times <= 12)

    file = parse_onnx(doubling(times, hidden=hidden).SerializeToString(), "m.onnx")
    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", watched)
    assert output_shape(file, (64, 64), "m.onnx")[2] == 6
    assert (True in followed) is follows


def test_what_a_file_says_of_its_own_shapes_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = doubling(12, hidden=False)
    for number in range(12):
        claimed = helper.make_tensor_value_info(f"c{number}", TensorProto.INT64, [4])
        (made.graph.value_info if number % 2 else made.graph.output).append(claimed)
    followed = []
    infer = onnx.shape_inference.infer_shapes

    def watched(proto: ModelProto, *, data_prop: bool = False) -> ModelProto:
        followed.append(data_prop)
        return infer(proto, data_prop=data_prop)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", watched)
    inferred_output(made, "images", (64, 64), "out")
    assert followed == [False]


def test_a_shape_that_is_computed_is_still_followed(tmp_path: Path) -> None:
    nodes = [
        node("Shape", ["images"], ["sides"]),
        node("Gather", ["sides", "three"], ["width"]),
        node("Unsqueeze", ["width", "zero"], ["wide"]),
        helper.make_node("Concat", ["one", "wide", "six"], ["shape"], axis=0),
        node("Expand", ["value", "shape"], ["output0"]),
    ]
    numbers = {"one": [1], "six": [6], "zero": [0]}
    weights: dict[str, Any] = {name: np.array(v, np.int64) for name, v in numbers.items()}
    weights |= {"three": np.array(3, np.int64), "value": np.ones((1, 1, 1), np.float32)}
    path = save(tmp_path / "m.onnx", nodes, weights, [1, 3, "h", "w"], [1, "n", 6])
    assert output_shape(read_onnx(path), (96, 64), "m.onnx") == (1, 96, 6)
