"""The graph edit: a model given raw bytes sees what it was trained to see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from sightline_engines.graph import INPUT_NAME, uint8_graph
from sightline_engines.recognise import recognise
from sightline_engines.types import Preprocess
from tests.engines.conftest import Load
from tests.engines.tiny import constant_model, probe_model, random_raw

SIZE = (64, 24)


@pytest.mark.parametrize("color", ["bgr", "rgb"])
@pytest.mark.parametrize("scale", [1.0, 1 / 255])
@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_the_network_is_given_its_own_layout_order_and_scale(
    tmp_path: Path, load: Load, color: Literal["bgr", "rgb"], scale: float, kind: str
) -> None:
    spec = recognise(probe_model(tmp_path / "probe.onnx", size_wh=SIZE, kind=kind))
    engine = load(replace(spec, preprocess=Preprocess(color=color, scale=scale)))
    tensor = np.random.default_rng(0).integers(0, 256, (1, 24, 64, 3), np.uint8)
    seen = engine.infer(tensor)[0].reshape(1, 3, 24, 64)
    ordered = tensor[..., ::-1] if color == "rgb" else tensor
    expected = ordered.transpose(0, 3, 1, 2).astype(np.float32) * scale
    np.testing.assert_allclose(seen, expected, rtol=1e-3 if kind == "float16" else 1e-6)
    engine.close()


@pytest.mark.parametrize("color", ["bgr", "rgb"])
def test_with_the_cast_first_a_network_is_given_the_same(
    tmp_path: Path, color: Literal["bgr", "rgb"]
) -> None:
    spec = recognise(probe_model(tmp_path / "probe.onnx", size_wh=SIZE))
    spec = replace(spec, preprocess=Preprocess(color=color, scale=1 / 255))
    tensor = np.random.default_rng(0).integers(0, 256, (1, 24, 64, 3), np.uint8)
    graphs = uint8_graph(spec), uint8_graph(spec, cast_first=True)
    seen: list[Any] = [
        ReferenceEvaluator(onnx.load_model_from_string(graph)).run(None, {INPUT_NAME: tensor})
        for graph in graphs
    ]
    np.testing.assert_array_equal(seen[0][0], seen[1][0])
    readers = [
        [n.op_type for n in onnx.load_model_from_string(g).graph.node if INPUT_NAME in n.input]
        for g in graphs
    ]
    assert readers == [["Transpose"], ["Cast"]]


def test_the_new_graph_is_valid_onnx(tmp_path: Path) -> None:
    spec = recognise(probe_model(tmp_path / "probe.onnx"))
    model = onnx.load_model_from_string(uint8_graph(spec))
    onnx.checker.check_model(model)
    port = model.graph.input[0]
    assert port.name == INPUT_NAME
    assert port.type.tensor_type.elem_type == TensorProto.UINT8


def test_feature_maps_beside_the_boxes_are_left_out(tmp_path: Path, load: Load) -> None:
    path = constant_model(tmp_path / "v5.onnx", random_raw("yolov5", 2))
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Reshape", ["images", "five"], ["maps"]))
    model.graph.initializer.append(
        helper.make_tensor("five", TensorProto.INT64, [5], [1, 3, 1, 64, 64])
    )
    model.graph.output.append(
        helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1, 3, 1, 64, 64])
    )
    onnx.save(model, path)
    engine = load(recognise(path))
    assert [o.shape for o in engine.infer(np.zeros((1, 64, 64, 3), np.uint8))] == [(1, 252, 7)]
    engine.close()
