"""Open a file of PyTorch's. A pickle runs whatever it says: only behind walls, or trusted."""

from __future__ import annotations

import warnings
from typing import Any

from sightline_engines.convert.traced import import_torch
from sightline_engines.errors import ModelFileError


def open_torchscript(path: str) -> Any:
    """Return the module of a TorchScript file, on the processor; raises ModelFileError."""
    torch = import_torch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there is no other reader of it
        try:
            return torch.jit.load(path, map_location="cpu")
        except RuntimeError as error:
            raise ModelFileError(f"The TorchScript file can't be opened: {error}") from error


def open_pickle(path: str) -> Any:
    """Return the module that a pickle is or, being a training checkpoint, holds."""
    torch = import_torch()
    return _module(_unpickled(torch, path), torch)


def _unpickled(torch: Any, source: str) -> object:
    try:
        # Runs whatever the file says: that is what walls, or the user's word, are for.
        return torch.load(source, map_location="cpu", weights_only=False)
    except (ImportError, AttributeError) as error:
        raise ModelFileError(
            f"The checkpoint needs classes that aren't installed here ({error}). Save it as "
            "TorchScript (torch.jit.trace(model, picture).save('model.pt')) or as ONNX where its "
            "code is."
        ) from error


def _module(found: object, torch: Any) -> Any:
    """Return the module itself, or the one in a training checkpoint."""
    if isinstance(found, dict):
        inside = (found.get(key) for key in ("ema", "model", "module", "net"))
        found = next((value for value in inside if isinstance(value, torch.nn.Module)), found)
    if not isinstance(found, torch.nn.Module):
        raise ModelFileError(
            f"The checkpoint holds a {type(found).__name__}, not a torch.nn.Module. Export it to "
            "ONNX or TorchScript where it was trained."
        )
    return found
