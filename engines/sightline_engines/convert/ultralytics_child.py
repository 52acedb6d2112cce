"""In the walled child: export an Ultralytics checkpoint with Ultralytics' own exporter.

Ultralytics is AGPL-3.0 and no dependency of ours: this module alone imports it, in a process of
its own.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from sightline_engines.progress import Progress

_MOST_BOXES = 300  # a picture, of heads that choose them themselves


def run(arguments: dict[str, Any], tell: Progress) -> None:
    """Write `arguments["output"]` from `arguments["source"]`, a .pt file in the same folder."""
    tell(0.05, "Loading Ultralytics")
    prepare(Path(arguments["source"]).parent)
    torch: Any = import_module("torch")
    ultralytics: Any = import_module("ultralytics")
    torch.set_num_threads(1)
    tell(0.5, "Opening the checkpoint")
    model = ultralytics.YOLO(arguments["source"])
    size_wh = arguments["input_size_wh"] or _trained_at(model.model)
    # Heads that need no suppression of overlapping boxes are exported as such.
    free = getattr(model.model.model[-1], "one2one_cv2", None) is not None
    tell(0.6, "Exporting to ONNX")
    written = model.export(
        format="onnx",
        imgsz=[size_wh[1], size_wh[0]],
        dynamic=True,
        simplify=False,
        opset=arguments["opset"],
        device="cpu",
        max_det=_MOST_BOXES,
        **({"nms": False} if free else {}),
    )
    Path(written).replace(arguments["output"])
    if free:
        _name_rows(arguments["output"], model.model.stride.tolist(), size_wh)
    tell(1.0, "Exported")


def _name_rows(path: str, strides: list[float], size_wh: tuple[int, int]) -> None:
    """Write the number of boxes into the output's shape, which the exporter leaves open."""
    import onnx

    cells = sum(int(size_wh[0] / s) * int(size_wh[1] / s) for s in strides)
    model = onnx.load(path)
    dims = model.graph.output[0].type.tensor_type.shape.dim
    dims[1].dim_value, dims[2].dim_value = min(_MOST_BOXES, cells), 6
    onnx.save(model, path)


def _trained_at(network: Any) -> tuple[int, int]:
    """Return (width, height): what the checkpoint was trained with."""
    arguments = getattr(network, "args", {})
    size = arguments.get("imgsz", 640) if isinstance(arguments, dict) else 640
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[1]), int(size[0])
    return (int(size), int(size)) if isinstance(size, int) else (640, 640)


def prepare(scratch: Path) -> None:
    """Keep Ultralytics from the network and from installing, and let it do without torchvision."""
    os.environ.update(  # noqa: TID251 - its only way of being told
        YOLO_CONFIG_DIR=str(scratch),
        YOLO_OFFLINE="true",
        YOLO_AUTOINSTALL="false",
        YOLO_VERBOSE="false",
        MPLCONFIGDIR=str(scratch),
    )
    # An export needs none of it, and a build that doesn't fit the PyTorch beside it fails to load.
    sys.modules["torchvision"] = None  # type: ignore[assignment]
    version = importlib.metadata.version

    def known(distribution_name: str) -> str:
        return "0.0.0" if distribution_name == "torchvision" else version(distribution_name)

    importlib.metadata.version = known
