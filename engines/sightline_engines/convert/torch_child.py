"""In the walled child: open a TorchScript file or a pickled module, and export it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from sightline_engines.convert.torch_file import open_pickle, open_torchscript
from sightline_engines.convert.torch_module import export_module
from sightline_engines.progress import Progress


def run(arguments: dict[str, Any], tell: Progress) -> None:
    """Write `arguments["output"]` from `arguments["source"]`."""
    tell(0.05, "Loading PyTorch")
    torch: Any = import_module("torch")
    torch.set_num_threads(1)
    tell(0.4, "Opening the checkpoint")
    source = arguments["source"]
    script = arguments["kind"] == "torchscript"
    module = open_torchscript(source) if script else open_pickle(source)
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
