"""Initial weights, read from a YOLOX-Nano ONNX file whose batch norm is already folded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from sightline_training.network import Detector
from sightline_training.samples import LABELS

PERSON_ROW = 0  # of the 80 classes of COCO
NEW_CLASS_BIAS = -2.0
_UNSHUFFLE = ((0, 0), (1, 0), (0, 1), (1, 1))  # (dy, dx) of each group of three channels

Weight = NDArray[np.float32]
Weights = list[tuple[Weight, Weight]]


def read_convolutions(path: Path) -> Weights:
    """Read (weight, bias) of every convolution in the order in which they run."""
    graph = onnx.load(path).graph
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    return [
        (arrays[node.input[1]].astype(np.float32), arrays[node.input[2]].astype(np.float32))
        for node in graph.node
        if node.op_type == "Conv"
    ]


def widen_stem(weight: Weight) -> Weight:
    """Turn a 3x3 over unshuffled pixels, (o, 12, 3, 3), into the equal 6x6, (o, 3, 6, 6)."""
    wide = np.zeros((weight.shape[0], 3, 6, 6), np.float32)
    for group, (dy, dx) in enumerate(_UNSHUFFLE):
        wide[:, :, dy::2, dx::2] = weight[:, 3 * group : 3 * group + 3]
    return wide


def fill(network: Detector, weights: Weights) -> None:
    """Copy the weights into the network.

    Raises:
        ValueError: count or shapes differ; the file is not this architecture.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    if len(layers) != len(weights):
        raise ValueError(f"the file has {len(weights)} convolutions, the network {len(layers)}")
    widened = [(widen_stem(weights[0][0]), weights[0][1]), *weights[1:]]
    for index, (layer, (weight, bias)) in enumerate(zip(layers, widened, strict=True)):
        if tuple(layer.weight.shape) != weight.shape or layer.bias is None:
            raise ValueError(
                f"convolution {index}: {weight.shape}, not {tuple(layer.weight.shape)}"
            )
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))


def original(path: Path) -> Detector:
    """Build the network with all 80 classes, as the file has it."""
    network = Detector(classes=80)
    fill(network, read_convolutions(path))
    return network


def initial(path: Path) -> Detector:
    """Build the two-class network: a face starts as an unlikely person."""
    network = Detector()
    fill(network, [_two_classes(*pair) for pair in read_convolutions(path)])
    return network


def _two_classes(weight: Weight, bias: Weight) -> tuple[Weight, Weight]:
    """Cut a class predictor down; leave every other convolution as it is."""
    if weight.shape[0] != 80:
        return weight, bias
    rows = weight[[PERSON_ROW] * len(LABELS)]
    return rows, np.asarray([bias[PERSON_ROW], NEW_CLASS_BIAS], np.float32)
