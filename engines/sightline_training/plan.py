"""The plan of a training: how long, how fast, and on pictures of which size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sightline_training.batches import Stage


@dataclass(frozen=True, slots=True)
class Cycle:
    """A part of the training along one cosine of the rate, which then restarts.

    Source: Loshchilov and Hutter, SGDR, 2017.
    """

    steps: int
    rate: float  # a share of each channel's size
    small_share: float  # the first part, at small sizes, where a step costs a third
    coco_share: float


CYCLES = (Cycle(4500, 2e-3, 0.6, 0.3), Cycle(3600, 1e-3, 0.0, 0.4))


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast to learn."""

    cycles: tuple[Cycle, ...] = CYCLES
    warm_up: int = 300  # steps of each cycle
    small_sizes: tuple[int, ...] = (224, 256, 288, 320)
    sizes: tuple[int, ...] = (352, 384, 416, 448)
    calm_share: float = 0.15  # the last part of each cycle, without mosaics
    memory: float = 0.999  # of the averaged weights: about the last thousand steps
    export_size: int = 416
    # What follows doesn't make another training: one may go on under other values.
    half: bool = field(default=False, repr=False)  # convolve in bfloat16; the rest stays float32
    keep_every_s: float = field(default=120.0, repr=False)
    export_every_s: float = field(default=600.0, repr=False)

    @property
    def steps(self) -> int:
        """Steps of all cycles."""
        return sum(cycle.steps for cycle in self.cycles)

    def rate_at(self, step: int) -> float:
        """Rise linearly, then fall along a cosine to a fiftieth, in every cycle."""
        cycle, step = self._within(step)
        if step < self.warm_up:
            return cycle.rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, cycle.steps - self.warm_up)
        return cycle.rate * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)

    def stage_at(self, step: int) -> Stage:
        """Say what a step's pictures are."""
        cycle, step = self._within(step)
        small = step < int(cycle.steps * cycle.small_share)
        calm = step >= int(cycle.steps * (1 - self.calm_share))
        return Stage(self.small_sizes if small else self.sizes, not calm, cycle.coco_share)

    def _within(self, step: int) -> tuple[Cycle, int]:
        """Find a step's cycle and its number in there."""
        for cycle in self.cycles[:-1]:
            if step < cycle.steps:
                return cycle, step
            step -= cycle.steps
        return self.cycles[-1], step
