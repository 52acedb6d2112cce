"""Fold constants and remove operators that change nothing, with onnxslim."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import ModelProto

from sightline_engines.convert.session import Feed, agree, hushed
from sightline_engines.errors import ModelFileError, ProviderError


def simplify(model: ModelProto, inputs: Sequence[Feed]) -> tuple[ModelProto, str | None]:
    """Return the simplified model and None, or the model as it was and why.

    Kept only if it has fewer operators, the same free and fixed axes, and answers `inputs`
    alike. Raises ProviderError where onnxslim is missing.
    """
    try:
        import onnxslim
    except ImportError as error:
        raise ProviderError(
            f"onnxslim isn't installed ({error}); install sightline-engines[convert]."
        ) from error
    copy = ModelProto()
    copy.CopyFrom(model)
    try:
        with hushed("onnxslim", ""):
            slim = onnxslim.slim(copy)
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        return model, f"The model couldn't be simplified ({error}); it is used as it is."
    if slim is None or len(slim.graph.node) >= len(model.graph.node):
        return model, None
    if _ports(slim) != _ports(model):
        return model, "Simplified the model would take other sizes; it is used as it is."
    try:
        same = agree(model, slim, inputs)
    except ModelFileError as error:
        return model, f"Simplified the model doesn't run ({error.message}); it is used as it is."
    if not same:
        return model, "Simplified the model answers differently; it is used as it is."
    if not slim.metadata_props:
        slim.metadata_props.extend(model.metadata_props)
    return slim, None


def _ports(model: ModelProto) -> list[tuple[str, int, list[int]]]:
    """Return each port's name, kind and fixed sides; 0 for a free one."""
    weights = {tensor.name for tensor in model.graph.initializer}
    ports = [v for v in model.graph.input if v.name not in weights]
    return [
        (v.name, v.type.tensor_type.elem_type, [d.dim_value for d in v.type.tensor_type.shape.dim])
        for v in ports
    ]
