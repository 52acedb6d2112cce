"""Assignment: which anchors learn which box (SimOTA: the cheapest few, a number each box earns)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RADIUS = 2.5  # strides around a box's centre where its anchors may lie
IOU_WEIGHT = 3.0
MOST = 10
OUTSIDE = 1e5


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """Positive anchors, the box each one learns, and the anchors that learn nothing."""

    anchors: Tensor  # (p,) indices
    boxes: Tensor  # (p,) indices into the trusted boxes
    overlap: Tensor  # (p,) IoU of each pair
    ignored: Tensor  # (A,) bool


def shared_area(a: Tensor, b: Tensor) -> Tensor:
    """Measure what each of a (n, 4) shares with each of b (m, 4): (n, m)."""
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    return (high - low).clamp(min=0).prod(2)


def pair_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of each of a (n, 4) with each of b (m, 4): (n, m)."""
    shared = shared_area(a, b)
    areas = [(x[:, 2:] - x[:, :2]).prod(1) for x in (a, b)]
    return shared / (areas[0][:, None] + areas[1][None] - shared + 1e-7)


def _near(boxes: Tensor, centres: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """Say which anchors lie in a box, and which near its centre: two (n, A)."""
    x, y = centres[None, :, 0], centres[None, :, 1]
    inside = (x > boxes[:, :1]) & (x < boxes[:, 2:3]) & (y > boxes[:, 1:2]) & (y < boxes[:, 3:4])
    middle = (boxes[:, :2] + boxes[:, 2:4]) / 2
    distance = (centres[None] - middle[:, None]).abs().amax(2)
    return inside, distance < RADIUS * strides[None]


@torch.no_grad()
def assign(
    boxes: Tensor, xyxy: Tensor, objectness: Tensor, classes: Tensor, anchors: Tensor
) -> Assignment:
    """Assign the boxes (n, 6) of one picture to its anchors.

    Args:
        xyxy: predicted corners (A, 4), input pixels.
        objectness: probabilities (A,).
        classes: probabilities (A, C).
        anchors: x, y, stride (A, 3), x and y in cells.
    """
    trusted = boxes[boxes[:, 5] > 0]
    ignored = _ignored(boxes[boxes[:, 5] <= 0], xyxy, classes)
    strides = anchors[:, 2]
    centres = (anchors[:, :2] + 0.5) * strides[:, None]
    inside, near = _near(trusted, centres, strides)
    candidates = (inside | near).any(0).nonzero()[:, 0]
    if len(trusted) == 0 or len(candidates) == 0:
        none = torch.zeros(0, dtype=torch.long, device=boxes.device)
        return Assignment(none, none, boxes.new_zeros(0), ignored)
    overlap = pair_iou(trusted[:, :4], xyxy[candidates])
    score = (objectness[candidates, None] * classes[candidates]).sqrt().clamp(1e-6, 1 - 1e-6)
    miss = -torch.log1p(-score)
    wanted = trusted[:, 4].long()
    doubt = miss.sum(1)[None] - miss.T[wanted] - score.log().T[wanted]
    cost = doubt - IOU_WEIGHT * (overlap + 1e-8).log()
    cost += OUTSIDE * ~(inside & near)[:, candidates]
    chosen = cheapest(cost, overlap)
    box, column = chosen.nonzero(as_tuple=True)
    anchor = candidates[column]
    ignored[anchor] = False
    return Assignment(anchor, box, overlap[box, column], ignored)


def cheapest(cost: Tensor, overlap: Tensor) -> Tensor:
    """Give each box as many anchors as its best overlaps add up to; an anchor serves one box."""
    count = overlap.topk(min(MOST, overlap.shape[1]), 1).values.sum(1).int().clamp(min=1)
    rank = cost.argsort(1).argsort(1)
    chosen = rank < count[:, None]
    torn = chosen.sum(0) > 1
    winner = cost.masked_fill(~chosen, torch.inf).argmin(0)  # of those that chose it
    only = torch.arange(len(cost), device=cost.device)[:, None] == winner[None]
    return torch.where(torn[None], chosen & only, chosen)


def _ignored(unsure: Tensor, xyxy: Tensor, classes: Tensor) -> Tensor:
    """Mark predictions that lie mostly in an unsure region of the class they predict."""
    if len(unsure) == 0:
        return torch.zeros(len(xyxy), dtype=torch.bool, device=xyxy.device)
    own = (xyxy[:, 2:] - xyxy[:, :2]).prod(1).clamp(min=1e-6)
    covered = shared_area(xyxy, unsure[:, :4]) / own[:, None] > 0.6
    same = classes.argmax(1)[:, None] == unsure[None, :, 4].long()
    return (covered & same).any(1)
