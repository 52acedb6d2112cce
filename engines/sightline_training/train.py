"""Training: one loop, resumable, that writes a usable ONNX file as it goes."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from sightline_training.batches import Batch, Material, Stage, stream
from sightline_training.export import export
from sightline_training.loss import detection_loss
from sightline_training.network import Detector
from sightline_training.optimiser import RelativeAdam

CHECKPOINT = "checkpoint.pt"
EXPORTED = "latest.onnx"


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
    memory: float = 0.9995  # of the averaged weights
    export_size: int = 416
    half: bool = False  # convolve in bfloat16; losses and weights stay float32
    keep_every_s: float = 120.0
    export_every_s: float = 600.0

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


def halves(device: str) -> bool:
    """Say whether a device multiplies bfloat16 natively; elsewhere it is slower than float32."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


class Trainer:
    """The network, its averaged copy and the optimiser, advanced a batch at a time."""

    def __init__(self, network: Detector, plan: Plan, device: str = "cpu") -> None:
        self.plan, self.device = plan, torch.device(device)
        self.step = 0
        network.to(self.device)
        # mypy's stubs know this way of setting the layout, not Module.to(memory_format=...).
        for parameter in network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.network = network
        self.average = {k: v.clone() for k, v in network.state_dict().items()}
        self.optimiser = RelativeAdam(network.parameters())

    def learn(self, batch: Batch) -> Tensor:
        """Take one step; return its losses (box, objectness, class)."""
        images = batch.images.to(self.device).float()
        boxes = [b.to(self.device) for b in batch.boxes]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.half):
            raw = self.network(images)
        losses = detection_loss(raw.float(), boxes, int(images.shape[-1]))
        torch.autograd.backward(losses.sum())
        nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step(self.plan.rate_at(self.step))
        self.step += 1
        self._remember()
        return losses.detach().cpu()

    def _remember(self) -> None:
        """Move the averaged weights a little towards the current ones."""
        share = min(self.plan.memory, self.step / (self.step + 200))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - share)

    def averaged(self) -> Detector:
        """Copy the averaged weights into a network of their own."""
        network = Detector()
        network.load_state_dict(self.average)
        return network.eval()

    def save(self, path: Path) -> None:
        """Write everything needed to go on, never half of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state(),
        }
        torch.save(state, temporary)
        os.replace(temporary, path)

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.step = int(state["step"])
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.optimiser.restore(**state["optimiser"])


class Progress:
    """Mean losses and pace, said every so many steps."""

    def __init__(self, steps: int, say: Callable[[str], None], every: int = 50) -> None:
        self.steps, self.say, self.every = steps, say, every
        self._clear()

    def _clear(self) -> None:
        self.total, self.count, self.pictures = torch.zeros(3), 0, 0
        self.since = time.monotonic()

    def add(self, step: int, losses: Tensor, pictures: int) -> None:
        """Take in one step."""
        self.total, self.count = self.total + losses, self.count + 1
        self.pictures += pictures
        if self.count == self.every:
            parts = ", ".join(f"{v:.3f}" for v in (self.total / self.count).tolist())
            pace = self.pictures / (time.monotonic() - self.since)
            self.say(
                f"step {step}/{self.steps}, box, object, class loss {parts}, {pace:.1f} pictures/s"
            )
            self._clear()


def run(trainer: Trainer, material: Material, output: Path, say: Callable[[str], None]) -> None:
    """Train to the end of the plan; checkpoints and ONNX files go to `output`."""
    plan = trainer.plan
    progress = Progress(plan.steps, say)
    saved = exported = time.monotonic()
    steps = range(trainer.step, plan.steps)
    for batch in stream(material, steps, plan.stage_at):
        progress.add(trainer.step + 1, trainer.learn(batch), len(batch.boxes))
        if time.monotonic() - saved > plan.keep_every_s:
            trainer.save(output / CHECKPOINT)
            saved = time.monotonic()
        if time.monotonic() - exported > plan.export_every_s:
            export(trainer.averaged(), plan.export_size, output / EXPORTED)
            exported = time.monotonic()
    trainer.save(output / CHECKPOINT)
    export(trainer.averaged(), plan.export_size, output / EXPORTED)
