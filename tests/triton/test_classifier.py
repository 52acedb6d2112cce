"""Classifiers: what is put in front of the network, how pictures fit, which classes are named."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from sightline_engines.errors import DeployError
from sightline_engines.runtimes import import_onnxruntime
from sightline_engines.triton.classifier import ClassifierSpec, classifier_network
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.deployments import Deployments
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.steps.classes import ClassesStep, best, probabilities
from sightline_engines.triton.steps.crop import fill, squash
from sightline_engines.triton.steps.names import FACTS, PROBLEM
from sightline_engines.triton.steps.step import Request
from tests.engines.encoded import scene
from tests.triton.tiny_classifier import CLASSES, SIDE, tiny_classifier

ACCELERATED = TritonConfig(accelerator="tensorrt")


@pytest.fixture
def spec(tmp_path: Path) -> ClassifierSpec:
    path = tmp_path / "shades.onnx"
    path.write_bytes(tiny_classifier())
    return ClassifierSpec("shades", path, (SIDE, SIDE), CLASSES, top_k=2)


def run(model: bytes | Path, name: str, fed: NDArray[Any]) -> NDArray[np.float32]:
    session = import_onnxruntime().InferenceSession(
        model if isinstance(model, bytes) else str(model), providers=["CPUExecutionProvider"]
    )
    answer: NDArray[np.float32] = session.run(None, {name: fed})[0]
    return answer


@pytest.mark.parametrize("config", [TritonConfig(), ACCELERATED], ids=["plain", "accelerated"])
@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_the_network_sees_pictures_as_it_was_trained_to(
    spec: ClassifierSpec, config: TritonConfig, color: Literal["rgb", "bgr"]
) -> None:
    spec = replace(spec, color=color, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    pictures = np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, 3)).astype(np.uint8)
    network = classifier_network(spec, config, 8)
    assert isinstance(network.content, bytes)
    (first, *_) = onnx.load_from_string(network.content).graph.node
    assert (first.op_type == "Cast") is (config is ACCELERATED)
    seen = pictures[..., ::-1] if color == "rgb" else pictures
    mean, std = (np.array(v, np.float32) for v in (spec.mean, spec.std))
    normal = (seen.astype(np.float32) / 255 - mean) / std
    wanted = run(spec.path, "images", np.ascontiguousarray(normal.transpose(0, 3, 1, 2)))
    found = run(network.content, network.input.name, pictures)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert (network.input.dims, network.output.dims) == ((SIDE, SIDE, 3), (len(CLASSES),))
    assert (network.max_batch, network.fixed) == (8, False)


def test_a_fixed_batch_of_one_is_told_to_triton(spec: ClassifierSpec) -> None:
    model = onnx.load(spec.path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, spec.path)
    given_port, answered, most = classifier_network(spec, TritonConfig(), 8).ports
    assert (given_port.dims, answered.dims, most) == ((1, SIDE, SIDE, 3), (1, len(CLASSES)), 0)


@pytest.mark.parametrize(
    ("altered", "said"),
    [
        ({"labels": CLASSES[:2]}, "tells 4 classes apart, and there are 2 labels"),
        ({"labels": ()}, "Give one label for each class"),
        ({"input_size_wh": (SIDE, 64)}, f"takes pictures of {SIDE}x{SIDE}, not {SIDE}x64"),
        ({"top_k": 0}, "top_k is a number from 1 to 4"),
        ({"top_k": 5}, "top_k is a number from 1 to 4"),
        ({"std": (1.0, 0.0, 1.0)}, "each of std above 0"),
        ({"static_batch": 3}, "exactly 3 pictures"),
        ({"scale": math.nan}, "plain numbers"),
        ({"scale": 0.0}, "scale none of 0"),
        ({"mean": (0.0, math.inf, 0.0)}, "plain numbers"),
        ({"std": (math.nan, 1.0, 1.0)}, "each of std above 0"),
        ({"input_size_wh": (0, -3)}, "not 0x-3"),
        ({"path": Path("c.plan")}, "accelerator 'tensorrt'"),
    ],
)
def test_a_spec_that_does_not_fit_its_file_is_refused(
    spec: ClassifierSpec, altered: dict[str, Any], said: str
) -> None:
    with pytest.raises(DeployError, match=said):
        classifier_network(replace(spec, **altered), TritonConfig(), 8)


def test_a_file_that_is_no_classifier_is_refused(spec: ClassifierSpec) -> None:
    model = onnx.load(spec.path)
    second = onnx.helper.make_tensor_value_info("flat", onnx.TensorProto.FLOAT, ["N", 3])
    model.graph.output.append(second)
    onnx.save(model, spec.path)
    with pytest.raises(DeployError, match=r"'flat'.*a classifier has one"):
        classifier_network(spec, TritonConfig(), 8)


def test_a_network_that_answers_with_a_map_is_no_classifier(
    spec: ClassifierSpec, tmp_path: Path
) -> None:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = onnx.numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["images", "w"], ["map"], kernel_shape=[1, 1])],
        "map",
        [helper.make_tensor_value_info("images", kind, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("map", kind, ["N", 4, SIDE, SIDE])],
        [weights],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "map.onnx")
    with pytest.raises(DeployError, match=r"or \[N, classes, 1, 1\]"):
        classifier_network(replace(spec, path=tmp_path / "map.onnx"), TritonConfig(), 8)


def test_scores_that_are_not_one_for_each_label_fail_their_own_request() -> None:
    told = {"model": "m", "deployment": 1, "sha256": "", "tensor": "t", "labels": list(CLASSES)}
    step = ClassesStep({**told, "top_k": 1, "softmax": True})
    beside = {FACTS: np.zeros((1, 8)), PROBLEM: np.array([[b""]], np.object_)}
    wrong, right = (Request({"t": np.ones((1, n), np.float32), **beside}, {}) for n in (9, 4))
    failed, answered = step.run([wrong, right])
    assert failed == "ValueError: 9 scores for 4 labels"
    assert isinstance(answered, dict)


def test_labels_lie_beside_the_network_as_data(spec: ClassifierSpec, tmp_path: Path) -> None:
    deployments = Deployments(Repository(tmp_path / "repository"))
    odd = ("dark\nimport os", 'red"', "grün", "blue")
    made = deployments.prepare(replace(spec, labels=odd), TritonConfig())
    assert made.kind == "classifier"
    assert made.detector == "shades__1__classifier"
    text = deployments.repository.read(made.detector, "labels.txt") or ""
    assert text.splitlines() == ["dark import os", 'red"', "grün", "blue"]
    assert "labels.txt" in (deployments.repository.read(made.detector, "config.pbtxt") or "")
    for part in made.parts:
        folder = deployments.repository.folder / part
        assert not [path for path in folder.rglob("*.py") if path.read_text() == "import os\n"]


def test_a_squashed_picture_keeps_its_corners() -> None:
    out = np.zeros((16, 16, 3), np.uint8)
    squash(scene(48, 32), out)
    assert out[0, 0].tolist() == [0, 0, 255]
    assert out[0, -1].tolist() == [0, 255, 0]
    assert out[-1, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("width", "height"), [(48, 16), (16, 48), (4, 4), (1, 300), (300, 1)])
def test_a_cropped_picture_is_its_middle_in_its_own_shape(width: int, height: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 240, width, dtype=np.uint8)
    image[..., 1] = np.linspace(0, 240, height, dtype=np.uint8)[:, None]
    out = np.zeros((16, 16, 3), np.uint8)
    scale_x, scale_y, pad_x, pad_y = fill(image, out)
    middle = image[height // 2, width // 2].astype(int)
    assert abs(out[8, 8].astype(int) - middle).max() <= 32
    seen_wide, seen_high = 16 / scale_x, 16 / scale_y
    assert 1 <= seen_wide <= width
    assert 1 <= seen_high <= height
    assert (pad_x, pad_y) <= (0, 0)
    if width > 1 and height > 1:
        assert scale_x == pytest.approx(scale_y, rel=0.1)


@given(arrays.arrays(np.float32, st.integers(1, 20), elements=st.floats(width=32)))
def test_classes_are_named_whatever_the_network_says(scores: NDArray[np.float32]) -> None:
    labels = [f"label {i}" for i in range(len(scores))]
    for softmax in (True, False):
        found = best(scores, labels, 3, softmax=softmax)
        assert len(found) == min(3, len(scores))
        values = [one["score"] for one in found]
        assert values == sorted(values, reverse=True)
        assert all(0 <= value <= 1 for value in values)
    assert probabilities(np.nan_to_num(scores.astype(np.float64))).sum() == pytest.approx(1)
