"""Put the picture's normalisation into the ONNX graph, so that engines take raw bytes.

The graph gets a uint8 (N, h, w, 3) BGR input. Layout, channel order and scale become
operators that every runtime fuses or runs beside the first convolution: measured six
times faster than doing them in numpy, and a quarter of the bytes to hand over.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from onnx import NodeProto, TensorProto, helper, shape_inference

from sightline_engines.errors import ModelFileError
from sightline_engines.onnxfile import OnnxFile, Port, Shape, read_onnx
from sightline_engines.shapes import inferred_output
from sightline_engines.types import ModelSpec

INPUT_NAME = "sightline_bgr"
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def image_port(file: OnnxFile, name: str) -> Port:
    """Return the one picture input, float [N, 3, H, W]; raises ModelFileError."""
    found = ", ".join(map(str, file.inputs)) or "none"
    if len(file.inputs) != 1:
        raise ModelFileError(f"{name} has inputs {found}; supported is one picture input.")
    port = file.inputs[0]
    if port.elem_type not in _FLOATS or len(port.shape) != 4 or port.shape[1] != 3:
        raise ModelFileError(
            f"{name} has the input {found}; supported is float32 or float16 [N, 3, height, width]."
        )
    return port


def detection_port(file: OnnxFile, name: str) -> Port:
    """Return the output that holds the boxes.

    That is the only output, or the only one of rank 3 where the rest are the rank 5
    feature maps that older YOLOv5 exports leave beside it.
    """
    boxes = [port for port in file.outputs if len(port.shape) == 3]
    rest = [port for port in file.outputs if len(port.shape) not in (3, 5)]
    if len(boxes) == 1 and not rest:
        return boxes[0]
    found = ", ".join(map(str, file.outputs)) or "none"
    raise ModelFileError(
        f"{name} has the outputs {found}. Supported are detectors with one output: YOLOX "
        "[N, A, 5+C], YOLOv5 [N, A, 5+C], YOLOv8/9/11/12 [N, 4+C, A] or end-to-end [N, K, 6]. "
        "Separate scores and boxes (SSD style), masks and keypoints are not supported."
    )


def output_shape(file: OnnxFile, size_wh: tuple[int, int], name: str) -> Shape:
    """Return the detection output's shape at an input size, inferred where it is dynamic."""
    port = detection_port(file, name)
    if None not in port.shape[1:]:
        return port.shape
    found: list[int | None] = []
    # Where no shapes are to be had, the caller says what to do.
    with suppress(RuntimeError, ValueError, shape_inference.InferenceError):
        found = inferred_output(file.model, image_port(file, name).name, size_wh, port.name)
    if len(found) != 3:
        return port.shape
    return tuple(said or side for said, side in zip(port.shape, found, strict=True))


def uint8_graph(spec: ModelSpec, *, cast_first: bool = False) -> bytes:
    """Return the model of a spec as ONNX bytes with a uint8 NHWC BGR input.

    `cast_first` turns bytes into floats before anything else: TensorRT lets nothing but a Cast
    read a uint8 input (its API on DataType.UINT8). Elsewhere bytes are quicker to move.
    """
    file = read_onnx(spec.path)
    port = image_port(file, spec.path.name)
    keep = detection_port(file, spec.path.name)
    graph = file.model.graph
    width, height = spec.input_size_wh
    batch = next(v for v in graph.input if v.name == port.name).type.tensor_type.shape.dim[0]
    first = batch.dim_value if batch.dim_value > 0 else (batch.dim_param or "batch")
    nodes = list(_normalise(spec, port, cast_first=cast_first))
    body, inputs = list(graph.node), [v for v in graph.input if v.name != port.name]
    outputs = [v for v in graph.output if v.name == keep.name]
    for kept, values in ((graph.node, nodes + body), (graph.output, outputs)):
        del kept[:]
        kept.extend(values)
    picture = helper.make_tensor_value_info(
        INPUT_NAME, TensorProto.UINT8, [first, height, width, 3]
    )
    del graph.input[:]
    graph.input.extend([picture, *inputs])
    if None in port.shape[2:]:  # shapes written for the dynamic size no longer hold
        del graph.value_info[:]
    return bytes(file.model.SerializeToString())


def _normalise(spec: ModelSpec, port: Port, *, cast_first: bool) -> list[NodeProto]:
    """Return the operators from INPUT_NAME to the model's own input.

    Constants are nodes, not initializers: files of IR version 3 would have to list an
    initializer as an input too.
    """
    last = INPUT_NAME
    nodes: list[NodeProto] = []

    def add(op: str, inputs: list[str], **attributes: Any) -> None:
        nonlocal last
        last = f"sightline_{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [last], **attributes))

    if cast_first:
        add("Cast", [last], to=port.elem_type)
    add("Transpose", [last], perm=[0, 3, 1, 2])
    if spec.preprocess.color == "rgb":
        nodes.append(_constant("sightline_rgb", TensorProto.INT64, [3], [2, 1, 0]))
        add("Gather", [last, "sightline_rgb"], axis=1)
    if not cast_first:
        add("Cast", [last], to=port.elem_type)
    if spec.preprocess.scale != 1:
        nodes.append(_constant("sightline_scale", port.elem_type, [], [spec.preprocess.scale]))
        add("Mul", [last, "sightline_scale"])
    nodes[-1].output[0] = port.name
    return nodes


def _constant(name: str, kind: int, dims: list[int], values: list[float]) -> NodeProto:
    return helper.make_node(
        "Constant", [], [name], value=helper.make_tensor(name, kind, dims, values)
    )
