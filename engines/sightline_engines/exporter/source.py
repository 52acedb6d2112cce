"""What a user names on the command line, as a module: a file, or a factory of their own code.

Both are programs that run with the user's own rights, as a script given to `python` does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline_engines.convert.kinds import Kind, look
from sightline_engines.convert.torch_file import open_pickle, open_torchscript
from sightline_engines.convert.traced import import_torch
from sightline_engines.errors import ModelFileError

if TYPE_CHECKING:
    import torch

_FILES = (".pt", ".pth", ".ts", ".torchscript")


def open_source(named: str, *, allow_pickle: bool = False) -> torch.nn.Module | Path:
    """Return the module that is named, or the path of an ONNX file.

    TorchScript is opened as it is; any other .pt file is a pickle and only with `allow_pickle`.
    "package.module:factory" is imported from the working folder or where Python looks, and called.
    Raises ModelFileError; what the user's own code raises goes through.
    """
    path = Path(named)
    if path.suffix.lower() == ".onnx":
        return path
    if path.suffix.lower() in _FILES or path.is_file():
        return _open_file(path, allow_pickle=allow_pickle)
    place, colon, factory = named.partition(":")
    if not colon or not factory.isidentifier() or not _is_dotted(place):
        raise ModelFileError(
            f"{named!r} is neither a file (.pt, .onnx) nor a factory such as package.module:make."
        )
    return _made(place, factory)


def _open_file(path: Path, *, allow_pickle: bool) -> torch.nn.Module:
    kind = look(path).kind
    if kind is Kind.ULTRALYTICS:
        raise ModelFileError(
            f"{path.name} was made by Ultralytics. Make ONNX of it behind walls with `sightline "
            "convert`, and export that."
        )
    if kind is Kind.MODULE and not allow_pickle:
        raise ModelFileError(
            f"{path.name} is a pickle: a program that runs with your rights as it is opened. If "
            "you trust where it is from, say --allow-pickle; else have it saved as TorchScript "
            "(torch.jit.script(model).save('model.pt'))."
        )
    if kind is Kind.TORCHSCRIPT:
        module: torch.nn.Module = open_torchscript(str(path))
    else:
        with _here():
            module = open_pickle(str(path))
    return module


def _made(place: str, factory: str) -> torch.nn.Module:
    module_type = import_torch().nn.Module
    with _here():
        try:
            code = import_module(place)
        except ModuleNotFoundError as error:
            raise ModelFileError(
                f"{place} can't be imported: {error}. Call this in the folder that it lies in, or "
                "install it."
            ) from error
        found: Any = getattr(code, factory, None)
        if found is None:
            raise ModelFileError(f"{place} has no {factory}.")
        made = found if isinstance(found, module_type) else found()
    if not isinstance(made, module_type):
        raise ModelFileError(
            f"{place}:{factory} gives a {type(made).__name__}, not a torch.nn.Module."
        )
    module: torch.nn.Module = made
    return module


@contextmanager
def _here() -> Iterator[None]:
    """Have the working folder among those that Python imports from, as `python` itself does."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


def _is_dotted(place: str) -> bool:
    return all(part.isidentifier() for part in place.split("."))
