"""Which anchors learn which box, and what is left alone."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from torch import Tensor  # noqa: E402

from sightline_training.assign import assign, cheapest, pair_iou  # noqa: E402
from sightline_training.boxes import grid  # noqa: E402
from sightline_training.loss import corners, detection_loss, generalised_iou  # noqa: E402

SIZE = 64


def untrained() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give what a network of zeros predicts: corners, objectness, classes, anchors."""
    anchors = torch.from_numpy(grid(SIZE))
    raw = torch.zeros(len(anchors), 7)
    belief = raw[:, 4:].sigmoid()
    return corners(raw, anchors), belief[:, 0], belief[:, 1:], anchors


def test_a_box_goes_to_anchors_inside_it() -> None:
    box = torch.tensor([[8.0, 8, 40, 40, 1, 1]])
    found = assign(box, *untrained())
    anchors = torch.from_numpy(grid(SIZE))[found.anchors]
    centres = (anchors[:, :2] + 0.5) * anchors[:, 2:]
    assert len(centres) > 0
    assert bool(((centres > 8) & (centres < 40)).all())
    assert bool((found.boxes == 0).all())


def test_every_box_is_learnt_and_no_anchor_serves_two() -> None:
    boxes = torch.tensor([[0.0, 0, 30, 30, 0, 1], [4, 20, 34, 50, 0, 0.5], [40, 40, 60, 60, 1, 1]])
    found = assign(boxes, *untrained())
    assert set(found.boxes.tolist()) == {0, 1, 2}
    assert len(set(found.anchors.tolist())) == len(found.anchors)


def test_unsure_regions_are_ignored_for_their_class_alone() -> None:
    xyxy, objectness, classes, anchors = untrained()
    classes = torch.tensor([0.1, 0.9]).expand(len(anchors), 2)
    unsure = torch.tensor([[-20.0, -20, 84, 84, 1, 0]])
    assert assign(unsure, xyxy, objectness, classes, anchors).ignored.all()
    unsure[0, 4] = 0
    assert not assign(unsure, xyxy, objectness, classes, anchors).ignored.any()


def test_overlaps() -> None:
    a = torch.tensor([[0.0, 0, 10, 10]])
    b = torch.tensor([[5.0, 0, 15, 10]])
    assert float(pair_iou(a, b)) == pytest.approx(1 / 3)
    assert float(generalised_iou(a, b)) == pytest.approx(1 / 3)
    far = torch.tensor([[30.0, 0, 40, 10]])
    assert float(generalised_iou(a, far)) == pytest.approx(-0.5)


def test_loss_of_an_empty_picture_is_objectness_alone() -> None:
    raw = torch.zeros(1, len(grid(SIZE)), 7, requires_grad=True)
    box, objectness, kind = detection_loss(raw, [torch.zeros(0, 6)], SIZE)
    assert float(box.detach()) == float(kind.detach()) == 0
    assert float(objectness.detach()) > 0


def test_an_anchor_that_two_boxes_chose_goes_to_the_cheaper_of_them() -> None:
    cost = torch.tensor([[1.0, 9, 9], [2, 9, 9], [0.5, 0.1, 9]])
    overlap = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    chosen = cheapest(cost, overlap)  # the third box, cheapest there, chose another
    assert chosen[:, 0].tolist() == [True, False, False]
    assert chosen[2].tolist() == [False, True, False]
