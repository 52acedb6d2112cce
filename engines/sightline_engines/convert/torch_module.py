"""Write a PyTorch detector as an ONNX file. For modules that are trusted: it runs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightline_engines.convert.traced import as_served, export_traced

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
    width, height = input_size_wh
    more = 64 if dynamic_size else 0
    feeds = (
        {INPUT: np.zeros((1, 3, height, width), np.float32)},
        {INPUT: np.zeros((2, 3, height + more, width + more), np.float32)},
    )
    axes = {INPUT: {0: "batch"} | ({2: "height", 3: "width"} if dynamic_size else {})}
    hint = "It must take float32 [N, 3, height, width]; is the input size right?"
    with as_served(module) as served:
        export_traced(served, path, feeds, axes, opset=opset, hint=hint)
    facts = {"task": "detect", "imgsz": str([height, width])}
    if labels:
        facts["names"] = str(dict(enumerate(labels)))
    if licence:
        facts["license"] = licence
    _write_facts(path, facts)
    return path


def _write_facts(path: Path, facts: dict[str, str]) -> None:
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, path)
