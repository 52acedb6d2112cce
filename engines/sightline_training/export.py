"""Export: the ONNX file and what it says about itself."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from sightline_training.boxes import STRIDES
from sightline_training.network import Detector
from sightline_training.samples import LABELS

OPSET = 17
METADATA = {
    "author": "Sightline",
    "license": "Apache-2.0",
    "description": "Persons and faces for a webcam; weights initialised from YOLOX-Nano",
    "task": "detect",
    "names": str(dict(enumerate(LABELS))),
    "stride": str(max(STRIDES)),
}


class Deployed(nn.Module):
    """The network with objectness and classes as probabilities."""

    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        raw = self.network(images)
        return torch.cat((raw[..., :4], raw[..., 4:].sigmoid()), 2)


def export(network: Detector, size: int, path: Path) -> None:
    """Write the ONNX file for a square input, batch size free; replaces it in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp.onnx")
    with warnings.catch_warnings():
        # This exporter is marked as old (the new one needs a package more), and it warns that
        # the sizes it traces become constants, which is what a fixed input means.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Deployed(network.eval()),
            (torch.zeros(1, 3, size, size),),
            str(temporary),
            input_names=["images"],
            output_names=["output"],
            dynamic_axes={"images": {0: "batch"}, "output": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(temporary)
    model.producer_name, model.producer_version = "sightline_training", ""
    shape = model.graph.output[0].type.tensor_type.shape.dim
    shape[1].dim_value = sum((size // stride) ** 2 for stride in STRIDES)
    shape[2].dim_value = 5 + len(LABELS)
    onnx.helper.set_model_props(model, METADATA | {"imgsz": str([size, size])})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, temporary)
    os.replace(temporary, path)
