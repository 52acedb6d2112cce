"""Trace a PyTorch module of any inputs and outputs into an ONNX file: it runs the module."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sightline_engines.errors import ModelFileError, ProviderError

Arrays: TypeAlias = Mapping[str, NDArray[Any]]  # a module's inputs by name, in forward()'s order
Axes: TypeAlias = dict[str, dict[int, str]]  # port -> axis -> the name of its open side

_EXPORTING = threading.Lock()  # PyTorch's exporter keeps what it does in globals


def import_torch() -> Any:
    """Return the torch module; raises ProviderError where it is missing."""
    try:
        import torch
    except ImportError as error:
        raise ProviderError(
            "PyTorch isn't installed. Install it with: pip install 'sightline-engines[torch]'."
        ) from error
    return torch


@contextmanager
def as_served(module: Any) -> Iterator[Any]:
    """Have a module in evaluation mode on the processor, and as it was afterwards.

    Raises ModelFileError for one that is spread over several devices.
    """
    training = [part for part in module.modules() if getattr(part, "training", False)]
    places = {str(value.device) for value in (*module.parameters(), *module.buffers())}
    if len(places) > 1:
        raise ModelFileError(
            f"The module lies on {', '.join(sorted(places))}. Move it to one device first, such "
            "as module.to('cpu')."
        )
    try:
        yield module.eval().to("cpu")
    finally:
        for part in training:
            part.training = True
        for place in places:
            module.to(place)


def run_module(module: Any, feed: Arrays, hint: str = "") -> dict[str, NDArray[Any]]:
    """Run a module once and return its outputs by name: a dict's own, else output0, output1, ….

    `hint` says in an error what the module must take. Raises ModelFileError where it fails or
    answers with anything but tensors.
    """
    torch = import_torch()
    try:
        with torch.no_grad():
            answer = module(*(torch.from_numpy(np.array(value)) for value in feed.values()))
    # A module is anybody's code; these are what PyTorch raises for an input that doesn't fit.
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError) as error:
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feed.items())
        raise ModelFileError(f"The module fails on {shapes}: {error}. {hint}".rstrip()) from error
    named = _named(torch, answer)
    return {name: np.asarray(value.detach().cpu().numpy()) for name, value in named.items()}


def export_traced(  # noqa: PLR0913  each is a fact of the file to be made
    module: Any,
    path: Path,
    feeds: tuple[Arrays, Arrays],
    axes: Axes,
    *,
    opset: int = 17,
    hint: str = "",
    output_names: Sequence[str] = (),
) -> tuple[str, ...]:
    """Write `path` and return its outputs' names; the module must be as `as_served` has it.

    Traced with the first feed. In the second each axis that is to stay open (`axes`) has another
    side, by which the outputs' open axes are told. Raises ModelFileError.
    """
    torch = import_torch()
    with _EXPORTING, warnings.catch_warnings():
        # The exporter that needs no further package is marked as old, and it warns that the sizes
        # it traces become constants, which is what a fixed input means.
        warnings.simplefilter("ignore")
        one, two = (run_module(module, feed, hint) for feed in feeds)
        if output_names and len(output_names) != len(one):
            raise ModelFileError(
                f"The module has {len(one)} outputs ({', '.join(one)}), but {len(output_names)} "
                "names were given for them."
            )
        named = dict(zip(one, output_names or one, strict=True))
        opened = _open_axes(one, two, axes, feeds)
        # In one tuple, which is what the exporter knows of how modules answer.
        traced = _in_order(torch, module) if _answers_with_dict(torch, module, feeds[0]) else module
        try:
            torch.onnx.export(
                traced,
                tuple(torch.from_numpy(np.array(value)) for value in feeds[0].values()),
                str(path),
                input_names=list(feeds[0]),
                output_names=list(named.values()),
                dynamic_axes={n: dict(a) for n, a in axes.items()}
                | {named[name]: sides for name, sides in opened.items()},
                opset_version=opset,
                dynamo=False,
            )
        except (RuntimeError, TypeError, ValueError) as error:
            raise ModelFileError(f"PyTorch can't export this module to ONNX: {error}") from error
    fixed = {
        named[name]: {i: side for i, side in enumerate(value.shape) if i not in opened[name]}
        for name, value in one.items()
    }
    _describe(path, fixed)
    return tuple(named.values())


def _named(torch: Any, answer: Any) -> dict[str, Any]:
    if isinstance(answer, dict):
        named = {str(name): value for name, value in answer.items()}
    else:
        outputs = [answer] if isinstance(answer, torch.Tensor) else answer
        listed = outputs if isinstance(outputs, list | tuple) else ()
        named = {f"output{i}": value for i, value in enumerate(listed)}
    if not named or not all(isinstance(value, torch.Tensor) for value in named.values()):
        raise ModelFileError(
            f"The module answers with {type(answer).__name__}; supported is one tensor, or a tuple "
            "or dict of tensors. Wrap it in a module whose forward() returns the tensors alone."
        )
    return named


def _answers_with_dict(torch: Any, module: Any, feed: Arrays) -> bool:
    with torch.no_grad():
        answer = module(*(torch.from_numpy(np.array(value)) for value in feed.values()))
    return isinstance(answer, dict)


def _in_order(torch: Any, module: Any) -> Any:
    """Return the module with its dict of outputs as a tuple, in the same order."""

    class _InOrder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *inputs: Any) -> tuple[Any, ...]:
            return tuple(self.inner(*inputs).values())

    return _InOrder().eval()


def _open_axes(
    one: Arrays, two: Arrays, axes: Axes, feeds: tuple[Arrays, Arrays]
) -> dict[str, dict[int, str]]:
    """Return the outputs' axes that differ between two runs, named as the input's of that size."""
    if [(n, v.ndim) for n, v in one.items()] != [(n, v.ndim) for n, v in two.items()]:
        raise ModelFileError("The module answers in another form when its input's size changes.")
    sides = {
        (feeds[0][port].shape[axis], feeds[1][port].shape[axis]): name
        for port, named in reversed(list(axes.items()))
        for axis, name in reversed(list(named.items()))
    }
    return {
        name: {
            axis: sides.get((a, b), f"{name}_{axis}")
            for axis, (a, b) in enumerate(zip(value.shape, two[name].shape, strict=True))
            if a != b
        }
        for name, value in one.items()
    }


def _describe(path: Path, fixed: Mapping[str, Mapping[int, int]]) -> None:
    """Write into the file what was seen of it: the exporter leaves more sides open than are."""
    import onnx

    model = onnx.load(path)
    for output in model.graph.output:
        dims = output.type.tensor_type.shape.dim
        for axis, side in fixed[output.name].items():
            dims[axis].dim_value = side
    onnx.save(model, path)
