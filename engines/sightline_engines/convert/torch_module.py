"""Write a PyTorch module as an ONNX file. For modules that are trusted: it runs them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline_engines.errors import ModelFileError, ProviderError

if TYPE_CHECKING:
    import torch

INPUT = "images"


def export_module(  # noqa: PLR0913 - each is a fact of the file to be made
    module: torch.nn.Module,
    path: Path,
    input_size_wh: tuple[int, int],
    *,
    opset: int = 17,
    dynamic_size: bool = False,
    labels: Sequence[str] = (),
    licence: str = "",
) -> Path:
    """Write `path` and return it: float32 [N, 3, height, width] in, any batch size.

    The module is traced in evaluation mode, on the processor, with an empty picture. With
    `dynamic_size` the picture's sides stay open as well. Raises ModelFileError.
    """
    torch = _torch()
    width, height = input_size_wh
    module = module.eval().to("cpu")
    picture = torch.zeros(1, 3, height, width)
    with warnings.catch_warnings():
        # The exporter that needs no further package is marked as old, and it warns that the sizes
        # it traces become constants, which is what a fixed input means.
        warnings.simplefilter("ignore")
        shapes = _shapes(torch, module, picture)
        other = torch.zeros(2, 3, *(s + 64 if dynamic_size else s for s in (height, width)))
        axes = _open_axes(shapes, _shapes(torch, module, other))
        axes[INPUT] = {0: "batch"} | ({2: "height", 3: "width"} if dynamic_size else {})
        try:
            torch.onnx.export(
                module,
                (picture,),
                str(path),
                input_names=[INPUT],
                output_names=[f"output{i}" for i in range(len(shapes))],
                dynamic_axes=axes,
                opset_version=opset,
                dynamo=False,
            )
        except (RuntimeError, TypeError, ValueError) as error:
            raise ModelFileError(f"PyTorch can't export this module to ONNX: {error}") from error
    fixed = {
        f"output{i}": {
            axis: side for axis, side in enumerate(shape) if axis not in axes[f"output{i}"]
        }
        for i, shape in enumerate(shapes)
    }
    facts = {"task": "detect", "imgsz": str([height, width])}
    if labels:
        facts["names"] = str(dict(enumerate(labels)))
    if licence:
        facts["license"] = licence
    _describe(path, fixed, facts)
    return path


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ProviderError(
            "PyTorch isn't installed. Install it with: pip install 'sightline-engines[torch]'."
        ) from error
    return torch


def _shapes(torch: Any, module: Any, picture: Any) -> list[tuple[int, ...]]:
    """Run a module once and return its outputs' shapes."""
    try:
        with torch.no_grad():
            answer = module(picture)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ModelFileError(
            f"The module fails on a picture of {tuple(picture.shape)}: {error}. It must take "
            "float32 [N, 3, height, width]; is the input size right?"
        ) from error
    outputs = [answer] if isinstance(answer, torch.Tensor) else answer
    tensors = isinstance(outputs, list | tuple) and all(
        isinstance(output, torch.Tensor) for output in outputs
    )
    if not tensors or not outputs:
        raise ModelFileError(
            f"The module answers with {type(answer).__name__}; supported is one tensor, or a tuple "
            "of tensors. Wrap it in a module whose forward() returns the boxes' tensor."
        )
    return [tuple(output.shape) for output in outputs]


def _open_axes(
    first: list[tuple[int, ...]], second: list[tuple[int, ...]]
) -> dict[str, dict[int, str]]:
    """Return the axes that differ between two runs, by output."""
    if [len(shape) for shape in first] != [len(shape) for shape in second]:
        raise ModelFileError("The module answers in another form when the picture's size changes.")
    return {
        f"output{i}": {
            axis: "batch" if axis == 0 else f"output{i}_{axis}"
            for axis, (a, b) in enumerate(zip(one, two, strict=True))
            if a != b
        }
        for i, (one, two) in enumerate(zip(first, second, strict=True))
    }


def _describe(path: Path, fixed: dict[str, dict[int, int]], facts: dict[str, str]) -> None:
    """Write into the file what was seen of it: the exporter leaves more sides open than are."""
    import onnx

    model = onnx.load(path)
    for output in model.graph.output:
        dims = output.type.tensor_type.shape.dim
        for axis, side in fixed[output.name].items():
            dims[axis].dim_value = side
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, path)
