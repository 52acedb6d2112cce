"""In the walled child: open a TorchScript file or a pickled module, and export it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from sightline_engines.convert.torch_module import export_module
from sightline_engines.errors import ModelFileError
from sightline_engines.progress import Progress


def run(arguments: dict[str, Any], tell: Progress) -> None:
    """Write `arguments["output"]` from `arguments["source"]`."""
    tell(0.05, "Loading PyTorch")
    torch: Any = import_module("torch")
    torch.set_num_threads(1)
    tell(0.4, "Opening the checkpoint")
    source = arguments["source"]
    if arguments["kind"] == "torchscript":
        module = torch.jit.load(source, map_location="cpu")
    else:
        module = _module(_unpickled(torch, source), torch)
    tell(0.6, "Exporting to ONNX")
    width, height = arguments["input_size_wh"]
    export_module(
        module.float(),
        Path(arguments["output"]),
        (width, height),
        opset=arguments["opset"],
        dynamic_size=arguments["dynamic_size"],
        labels=arguments["labels"],
        licence=arguments["licence"],
    )
    tell(1.0, "Exported")


def _unpickled(torch: Any, source: str) -> object:
    try:
        # Runs whatever the file says: that is what the walls are for.
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
