"""Training: one loop, resumable, that writes a usable ONNX file as it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from sightline_training.batches import Batch, Material, stream
from sightline_training.export import export
from sightline_training.loss import detection_loss
from sightline_training.network import Detector
from sightline_training.optimiser import RelativeAdam
from sightline_training.plan import Plan

CHECKPOINT = "checkpoint.pt"
EXPORTED = "latest.onnx"


def halves(device: str) -> bool:
    """Say whether a device multiplies bfloat16 natively; elsewhere it is slower than float32."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


class Trainer:
    """The network, its averaged copy and the optimiser, advanced a batch at a time.

    `material` says what it learns from; a checkpoint goes on with the same plan and material alone.
    """

    def __init__(
        self, network: Detector, plan: Plan, device: str = "cpu", material: str = ""
    ) -> None:
        self.plan, self.device = plan, torch.device(device)
        self.made_by = f"{plan}, {material}"
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
        self.remember()
        return losses.detach().cpu()

    def remember(self) -> None:
        """Move the averaged weights a little towards the current ones."""
        share = min(self.plan.memory, self.step / (self.step + 9))  # soon, not at once
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - share)

    def averaged(self) -> Detector:
        """Copy the averaged weights into a network of their own."""
        return _network_of(self.average)

    def save(self, path: Path) -> None:
        """Write everything needed to go on, never half of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        state = {
            "made_by": self.made_by,
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state(),
        }
        torch.save(state, temporary)
        os.replace(temporary, path)

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            ValueError: it was made under another plan, or from other material.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state.get("made_by") != self.made_by:
            raise ValueError(
                f"{path} was made under another plan: {state.get('made_by', 'an older one')}; this "
                f"is {self.made_by}. Name another folder with --output, or delete that file."
            )
        self.step = int(state["step"])
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.optimiser.restore(**state["optimiser"])


def averaged_of(path: Path) -> Detector:
    """Read a checkpoint's averaged weights alone."""
    return _network_of(torch.load(path, map_location="cpu", weights_only=True)["average"])


def _network_of(weights: dict[str, Tensor]) -> Detector:
    network = Detector()
    network.load_state_dict(weights)
    return network.eval()


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
