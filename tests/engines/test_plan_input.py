"""What TensorRT is given to read: sound ONNX in the asked precision and size, with profiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from sightline_engines.convert.convert import convert
from sightline_engines.convert.options import ConvertOptions, Precision
from sightline_engines.convert.plan import plan_input, typed_source
from sightline_engines.errors import ModelFileError
from sightline_engines.graph import INPUT_NAME
from sightline_engines.recognise import recognise
from sightline_engines.types import Format
from tests.engines.plan_source import PLAN, drawn, model
from tests.engines.tiny_conv import conv_model


@pytest.mark.parametrize(
    ("batch", "largest", "profiles"),
    [("n", 0, ((1, 1, 1),)), ("n", 1, ((1, 1, 1),)), ("n", 2, ((1, 1, 1), (2, 2, 2))),
     ("n", 8, ((1, 1, 1), (2, 8, 8))), (1, 8, ((1, 1, 1),)), (3, 8, ((3, 3, 3),))],
)  # fmt: skip
def test_one_picture_has_a_profile_and_several_have_another(
    tmp_path: Path, batch: int | str, largest: int, profiles: tuple[tuple[int, int, int], ...]
) -> None:
    spec = model(tmp_path, batch)
    _, shapes = plan_input(spec, replace(PLAN, max_batch=largest))
    assert shapes.profiles == profiles
    assert shapes.input_shape(profiles[-1][2]) == (profiles[-1][2], 64, 64, 3)


@pytest.mark.parametrize("batch", [1, "n"])
def test_what_tensorrt_is_to_read_is_sound_onnx_with_pictures_as_its_input(
    tmp_path: Path, batch: int | str
) -> None:
    graph, _ = plan_input(model(tmp_path, batch), PLAN)
    read = onnx.load_from_string(graph)
    onnx.checker.check_model(read, full_check=True)
    (port,) = read.graph.input
    assert port.name == INPUT_NAME
    assert port.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    # TensorRT lets nothing else read bytes.
    assert [n.op_type for n in read.graph.node if INPUT_NAME in n.input] == ["Cast"]
    inferred = onnx.shape_inference.infer_shapes(read, strict_mode=True, data_prop=True)
    assert [d.dim_value for d in inferred.graph.output[0].type.tensor_type.shape.dim][1:] == [6, 84]


def test_a_model_of_the_asked_precision_is_taken_as_it_is(tmp_path: Path) -> None:
    spec = model(tmp_path)
    assert typed_source(spec, PLAN, [], tmp_path) == spec
    half = replace(spec, precision="fp16")
    assert typed_source(half, replace(PLAN, precision="fp16"), [], tmp_path) == half


def test_int8_with_zero_points_is_not_given_to_tensorrt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightline_engines.convert.convert.check_parity", lambda *_: None)
    source = recognise(conv_model(tmp_path / "conv.onnx"))
    for_processors = ConvertOptions(Format.ONNX, "int8")
    made = convert(source, for_processors, drawn(tmp_path), tmp_path / "made").spec
    with pytest.raises(ModelFileError, match=r"zero points other than 0 .*fp32 ONNX"):
        plan_input(made, replace(PLAN, precision="int8"))


def test_int8_needs_pictures(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="Name a data set"):
        typed_source(model(tmp_path), replace(PLAN, precision="int8"), [], tmp_path)


def test_another_size_is_in_the_onnx_that_tensorrt_is_to_read(tmp_path: Path) -> None:
    source = recognise(conv_model(tmp_path / "conv.onnx"))
    options = replace(PLAN, input_size_wh=(96, 64))
    typed = typed_source(source, options, [], tmp_path / "typed")
    graph, shapes = plan_input(typed, options)
    assert shapes.input_shape(8) == (8, 64, 96, 3)
    dims = onnx.load_from_string(graph).graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims][1:] == [64, 96, 3]


def test_a_precision_is_not_made_of_another_than_fp32(tmp_path: Path) -> None:
    spec = replace(model(tmp_path), precision="int8")
    with pytest.raises(ModelFileError, match="is int8 already; make fp16"):
        typed_source(spec, replace(PLAN, precision="fp16"), [], tmp_path)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_precision_is_in_the_onnx_that_tensorrt_is_to_read(
    tmp_path: Path, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Drawn pictures calibrate nothing well: what is looked at here is the graph.
    monkeypatch.setattr("sightline_engines.convert.convert.check_parity", lambda *_: None)
    source, pictures = recognise(conv_model(tmp_path / "conv.onnx")), drawn(tmp_path)
    options = replace(PLAN, precision=precision)
    typed = typed_source(source, options, pictures, tmp_path)
    assert typed.precision == precision
    graph, _ = plan_input(typed, options)
    read = onnx.load_from_string(graph)
    onnx.checker.check_model(read, full_check=True)
    kinds = {t.name: t.data_type for t in read.graph.initializer}
    if precision == "fp16":
        weighted = [n.input[1] for n in read.graph.node if n.op_type == "Conv"]
        assert {kinds[name] for name in weighted} == {onnx.TensorProto.FLOAT16}
    else:
        ops = [node.op_type for node in read.graph.node]
        assert "QuantizeLinear" in ops
        read_by = [n.input for n in read.graph.node if n.op_type == "DequantizeLinear"]
        assert onnx.TensorProto.INT32 not in {kinds.get(names[0]) for names in read_by}
        zeros = {t.name: onnx.numpy_helper.to_array(t) for t in read.graph.initializer}
        assert all(not zeros[names[2]].any() for names in read_by if names[2:] and names[2])
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    width, height = typed.input_size_wh
    (answer,) = session.run(None, {INPUT_NAME: np.zeros((2, height, width, 3), np.uint8)})
    assert np.isfinite(answer).all()
