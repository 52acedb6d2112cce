"""Loss: overlap of boxes, objectness and class, over the anchors that were assigned."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sightline_training.assign import assign
from sightline_training.boxes import grid

BOX_WEIGHT = 5.0


def corners(raw: Tensor, anchors: Tensor) -> Tensor:
    """Turn raw grid boxes (..., A, 4) into corners in input pixels."""
    centre = (raw[..., :2] + anchors[:, :2]) * anchors[:, 2:]
    half = raw[..., 2:4].clamp(max=8).exp() * anchors[:, 2:] / 2
    return torch.cat((centre - half, centre + half), -1)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """GIoU of pairs (n, 4) and (n, 4): (n,) from -1 to 1."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    shared = (high - low).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    return shared / (union + 1e-7) - (hull - union) / (hull + 1e-7)


def detection_loss(raw: Tensor, boxes: list[Tensor], size: int) -> Tensor:
    """Sum the three losses of a batch, per positive anchor: returns (box, objectness, class).

    Args:
        raw: network output (N, A, 5 + C), logits.
        boxes: of each picture (n, 6), input pixels.
    """
    anchors = torch.from_numpy(grid(size)).to(raw.device)
    xyxy = corners(raw, anchors)
    belief = raw.detach()[..., 4:].sigmoid()
    target = torch.zeros_like(raw[..., 4])
    mask = torch.ones_like(target)
    rows, columns, learnt, overlaps = [], [], [], []
    for index, own in enumerate(boxes):
        found = assign(
            own, xyxy[index].detach(), belief[index, :, 0], belief[index, :, 1:], anchors
        )
        mask[index][found.ignored] = 0
        rows.append(torch.full_like(found.anchors, index))
        columns.append(found.anchors)
        learnt.append(own[own[:, 5] > 0][found.boxes])
        overlaps.append(found.overlap)
    row, column = torch.cat(rows), torch.cat(columns)
    wanted, overlap = torch.cat(learnt), torch.cat(overlaps)
    # A teacher's score is objectness times class; the root of it is each one's share.
    trust = wanted[:, 5].sqrt()
    target[row, column] = trust
    count = max(1.0, float(trust.sum()))
    logits = raw[row, column, 5:]
    kind = functional.one_hot(wanted[:, 4].long(), logits.shape[1]) * overlap[:, None]
    box = (trust * (1 - generalised_iou(xyxy[row, column], wanted[:, :4]))).sum()
    sure = functional.binary_cross_entropy_with_logits(raw[..., 4], target, mask, reduction="sum")
    named = functional.binary_cross_entropy_with_logits(
        logits, kind, trust[:, None], reduction="sum"
    )
    return torch.stack((BOX_WEIGHT * box, sure, named)) / count
