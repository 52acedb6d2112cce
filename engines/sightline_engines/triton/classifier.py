"""Classifiers, the second family: a picture in, the most likely classes out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sightline_engines.errors import DeployError
from sightline_engines.triton.config import ConfigTensor, TritonConfig
from sightline_engines.triton.network import Network, check_batch, check_precision, float_type
from sightline_engines.types import Format, format_of

LABELS_FILE = "labels.txt"


@dataclass(frozen=True, slots=True)
class ClassifierSpec:
    """Everything needed to run a classifier: ONNX, float [N, 3, H, W] in, [N, classes] out.

    The network sees (value * scale - mean) / std of each channel, in the order of `color`.
    """

    name: str
    path: Path
    input_size_wh: tuple[int, int]
    labels: tuple[str, ...]
    top_k: int = 5
    color: Literal["bgr", "rgb"] = "rgb"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    resize: Literal["squash", "crop"] = "crop"  # crop: the middle, as much of it as fits
    softmax: bool = True  # the network gives logits; False: it gives probabilities
    version: str = "1"
    precision: str = "fp32"
    sha256: str = ""
    static_batch: int | None = None

    @property
    def format(self) -> Format:
        """What kind of file it is; ONNX where the name doesn't say."""
        return format_of(self.path) or Format.ONNX


def classifier_network(spec: ClassifierSpec, config: TritonConfig, max_batch: int) -> Network:
    """Return a classifier as Triton runs it; raises DeployError, ModelFileError."""
    from sightline_engines.graph import INPUT_NAME, image_port
    from sightline_engines.onnxfile import read_onnx

    if spec.format is not Format.ONNX:
        raise DeployError(
            f"{spec.path.name} is no ONNX file, the only kind of classifier that is deployed. For "
            "TensorRT deploy the ONNX file with accelerator 'tensorrt'."
        )
    file, name = read_onnx(spec.path), spec.path.name
    picture, (width, height) = image_port(file, name), spec.input_size_wh
    _check(spec, file, picture.shape)
    check_precision(file.model, config, name)
    output = file.outputs[0]
    fixed = check_batch(spec.static_batch or picture.shape[0], name)
    return Network(
        _graph(spec, file.model, picture.elem_type, cast_first=config.accelerator == "tensorrt"),
        ConfigTensor(INPUT_NAME, "UINT8", (height, width, 3)),
        ConfigTensor(
            output.name,
            float_type(output.elem_type, name),
            (len(spec.labels), *(1 for _ in output.shape[2:])),
            LABELS_FILE,
        ),
        1 if fixed else max_batch,
        fixed,
    )


def _check(spec: ClassifierSpec, file: Any, picture: tuple[int | None, ...]) -> None:
    """Raise DeployError unless the spec fits the file."""
    name, (width, height) = spec.path.name, spec.input_size_wh
    shape: tuple[int | None, ...] = file.outputs[0].shape if len(file.outputs) == 1 else ()
    if len(shape) not in (2, 4) or any(side != 1 for side in shape[2:]):
        found = ", ".join(map(str, file.outputs)) or "none"
        raise DeployError(
            f"{name} has the outputs {found}; a classifier has one, [N, classes] "
            "or [N, classes, 1, 1]."
        )
    classes = shape[1]
    if not spec.labels or classes not in (None, len(spec.labels)):
        raise DeployError(
            f"{name} tells {classes or 'an unknown number of'} classes apart, and there are "
            f"{len(spec.labels)} labels. Give one label for each class."
        )
    if min(width, height) < 1 or any(
        side not in (None, own) for side, own in zip(picture[2:], (height, width), strict=True)
    ):
        raise DeployError(
            f"{name} takes pictures of {picture[3] or 'any'}x{picture[2] or 'any'}, not "
            f"{width}x{height}. Correct the input size."
        )
    if not 1 <= spec.top_k <= len(spec.labels) or not all(side > 0 for side in spec.std):
        raise DeployError(
            f"{name}: top_k is a number from 1 to {len(spec.labels)}, and each of std above 0; "
            f"found {spec.top_k} and {list(spec.std)}."
        )
    if not all(map(math.isfinite, (spec.scale, *spec.mean, *spec.std))) or spec.scale == 0:
        raise DeployError(
            f"{name}: scale, mean and std are plain numbers, scale none of 0; found {spec.scale}, "
            f"{list(spec.mean)} and {list(spec.std)}."
        )


def _graph(spec: ClassifierSpec, model: Any, elem_type: int, *, cast_first: bool) -> bytes:
    """Put the normalisation in front of a classifier: its input becomes uint8 (N, h, w, 3) BGR."""
    from onnx import TensorProto, helper

    from sightline_engines.graph import INPUT_NAME

    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    port = next(value for value in graph.input if value.name not in weights)
    batch = port.type.tensor_type.shape.dim[0]
    width, height = spec.input_size_wh
    factor = [spec.scale / side for side in spec.std]
    offset = [-mean / side for mean, side in zip(spec.mean, spec.std, strict=True)]
    nodes: list[Any] = []
    last = INPUT_NAME

    def add(op: str, *others: str, **attributes: Any) -> None:
        nonlocal last
        made = f"sightline_{len(nodes)}"
        nodes.append(helper.make_node(op, [last, *others], [made], **attributes))
        last = made

    def constant(name: str, kind: int, dims: list[int], values: list[Any]) -> str:
        value = helper.make_tensor(name, kind, dims, values)
        nodes.append(helper.make_node("Constant", [], [name], value=value))
        return name

    if cast_first:
        add("Cast", to=elem_type)
    add("Transpose", perm=[0, 3, 1, 2])
    if spec.color == "rgb":
        add("Gather", constant("sightline_rgb", TensorProto.INT64, [3], [2, 1, 0]), axis=1)
    if not cast_first:
        add("Cast", to=elem_type)
    add("Mul", constant("sightline_factor", elem_type, [1, 3, 1, 1], factor))
    add("Add", constant("sightline_offset", elem_type, [1, 3, 1, 1], offset))
    nodes[-1].output[0] = port.name
    body, inputs = list(graph.node), [value for value in graph.input if value is not port]
    first = batch.dim_value if batch.dim_value > 0 else (batch.dim_param or "batch")
    picture = helper.make_tensor_value_info(
        INPUT_NAME, TensorProto.UINT8, [first, height, width, 3]
    )
    for kept, values in ((graph.node, nodes + body), (graph.input, [picture, *inputs])):
        del kept[:]
        kept.extend(values)
    del graph.value_info[:]
    return bytes(model.SerializeToString())
