"""Make an ONNX model ready for conversion: one output, named operators, the wanted size."""

from __future__ import annotations

from onnx import ModelProto, shape_inference, version_converter

from sightline_engines.errors import ModelFileError
from sightline_engines.graph import detection_port, image_port
from sightline_engines.onnxfile import read_onnx
from sightline_engines.types import ModelSpec

_STEP = 32  # the coarsest grid of every supported family


def prepare(source: ModelSpec, size_wh: tuple[int, int]) -> ModelProto:
    """Return a source's graph with its detection output alone, its axes free or fixed as they are.

    A size other than the source's is written into the input, free or fixed; whether the graph
    runs at it is seen by running it. Raises ModelFileError for a file that isn't ONNX, or a size
    that no supported family takes.
    """
    file = read_onnx(source.path)
    port, keep = image_port(file, source.path.name), detection_port(file, source.path.name)
    model = file.model
    outputs = [value for value in model.graph.output if value.name == keep.name]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    if size_wh == source.input_size_wh:
        return named_nodes(model)
    if any(side < _STEP or side % _STEP for side in size_wh):
        raise ModelFileError(
            f"An input size of {size_wh[0]}x{size_wh[1]} was asked for; both sides must be "
            f"multiples of {_STEP}, as 320x320."
        )
    return named_nodes(_resized(model, port.name, size_wh))


def with_opset(model: ModelProto, least: int) -> ModelProto:
    """Return the model in an operator set of at least so high; raises ModelFileError."""
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset >= least:
        return model
    try:
        return named_nodes(version_converter.convert_version(model, least))
    except (RuntimeError, ValueError) as error:
        raise ModelFileError(
            f"The model's ONNX opset {opset} can't be raised to {least}: {error}. Export it again "
            "with opset 17."
        ) from error


def named_nodes(model: ModelProto) -> ModelProto:
    """Give each operator a name of its own, in place, and return the model."""
    taken: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
        taken.add(node.name)
    return model


def in_order(model: ModelProto) -> ModelProto:
    """Put each operator after those that feed it, in place, and return the model."""
    made = {name for node in model.graph.node for name in node.output}
    waiting, placed, known = list(model.graph.node), [], {""}
    while waiting:
        late = []
        for node in waiting:
            if all(name in known or name not in made for name in node.input):
                placed.append(node)
                known.update(node.output)
            else:
                late.append(node)
        if len(late) == len(waiting):
            raise ModelFileError("The model's operators go in a circle.")
        waiting = late
    del model.graph.node[:]
    model.graph.node.extend(placed)
    return model


def cannot_resize(source: ModelSpec, size_wh: tuple[int, int]) -> ModelFileError:
    """Return the error for a model whose graph has its size built in."""
    width, height = source.input_size_wh
    return ModelFileError(
        f"{source.path.name} is built for {width}x{height} and doesn't run at "
        f"{size_wh[0]}x{size_wh[1]}. Export it with dynamic axes or at that size, or leave the "
        "input size as it is."
    )


def _resized(model: ModelProto, port: str, size_wh: tuple[int, int]) -> ModelProto:
    """Write another size into the input, and drop the shapes that followed from the old one."""
    image = next(value for value in model.graph.input if value.name == port)
    for dim, side in zip(image.type.tensor_type.shape.dim[2:], size_wh[::-1], strict=True):
        dim.dim_value = side
    del model.graph.value_info[:]
    (output,) = model.graph.output
    for dim in output.type.tensor_type.shape.dim[1:]:
        dim.Clear()
    return shape_inference.infer_shapes(model, data_prop=True)
