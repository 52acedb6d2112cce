"""Batches: each one a function of the seed and its number alone, so training resumes exactly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sightline_training.augment import degrade, mosaic, place, relight
from sightline_training.boxes import Array
from sightline_training.samples import Picture, Sample

AHEAD = 2  # batches made before they are needed


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Augmented pictures (N, 3, S, S) uint8 BGR, channels last, and each one's boxes (n, 6)."""

    step: int
    images: Tensor
    boxes: list[Tensor]


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the training: the sides of its batches' pictures, whether any is a mosaic, and
    the share of COCO, half of which shows nobody.
    """

    sizes: tuple[int, ...]
    mosaics: bool
    coco_share: float = 0.3


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a batch is made of."""

    batch: int = 16
    mosaic_share: float = 0.4
    seed: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """The decoded samples of both sets and what to make of them."""

    faces: Sequence[Sample]
    coco: Sequence[Sample]
    recipe: Recipe

    def draw(self, coco_share: float, rng: np.random.Generator) -> Sample:
        """Pick a sample of either set."""
        pool = self.coco if rng.random() < coco_share else self.faces
        return pool[int(rng.integers(len(pool)))]


def make_picture(
    material: Material, size: int, stage: Stage, rng: np.random.Generator
) -> tuple[Picture, Array]:
    """Make one augmented picture."""
    if stage.mosaics and rng.random() < material.recipe.mosaic_share:
        samples = [material.draw(stage.coco_share, rng) for _ in range(4)]
        bgr, boxes = mosaic(samples, size, rng)
    else:
        bgr, boxes = place(material.draw(stage.coco_share, rng), size, size, rng)
    if rng.random() < 0.8:
        bgr = relight(bgr, rng)
    return degrade(bgr, rng), boxes


def make_batch(material: Material, step: int, stage: Stage) -> Batch:
    """Make the batch of a step."""
    recipe = material.recipe
    rng = np.random.default_rng((recipe.seed, step))
    size = int(rng.choice(stage.sizes))
    pairs = [make_picture(material, size, stage, rng) for _ in range(recipe.batch)]
    stack = torch.from_numpy(np.stack([bgr for bgr, _ in pairs]))
    boxes = [torch.from_numpy(b.astype(np.float32)) for _, b in pairs]
    return Batch(step, stack.permute(0, 3, 1, 2), boxes)


def stream(material: Material, steps: range, stage_at: Callable[[int], Stage]) -> Iterator[Batch]:
    """Yield the batches of these steps; a thread keeps some of them ready."""
    with ThreadPoolExecutor(1) as worker:
        waiting: deque[Future[Batch]] = deque()
        for step in steps:
            waiting.append(worker.submit(make_batch, material, step, stage_at(step)))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
