"""Optimiser: Adam whose steps are relative to the size of what they change.

With batch norm folded away, the channels of this network differ a thousandfold in size (from
0.01 in the stem to 20 in a depthwise layer), and one absolute rate either destroys the small
ones or never moves the large ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

FAST, SLOW, TINY = 0.9, 0.999, 1e-8
LEAST = 0.1  # of a layer's size: a dead channel still moves a little
BIAS_SIZE = 0.5


def channel_size(weight: Tensor) -> Tensor:
    """Root mean square of each output channel, shaped to multiply the weight."""
    squares = weight.detach().square()
    own = squares.mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return own.clamp(min=LEAST * float(squares.mean().sqrt()))


class RelativeAdam:
    """Adam over weights (o, i, h, w) and biases (o,), each step in units of channel size."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.parameters = list(parameters)
        self.sizes = [
            channel_size(p) if p.ndim == 4 else torch.full_like(p, BIAS_SIZE)
            for p in self.parameters
        ]
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.count = 0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move every parameter by its gradient and forget the gradients."""
        self.count += 1
        fade = (1 - FAST**self.count, 1 - SLOW**self.count)
        for parameter, size, first, second in zip(
            self.parameters, self.sizes, self.first, self.second, strict=True
        ):
            if parameter.grad is None:
                continue
            first.lerp_(parameter.grad, 1 - FAST)
            second.lerp_(parameter.grad.square(), 1 - SLOW)
            ratio = (first / fade[0]) / ((second / fade[1]).sqrt() + TINY)
            parameter.sub_(ratio * size, alpha=rate)
            parameter.grad = None

    def state(self) -> dict[str, object]:
        """Return what `restore` needs; tensors are shared, not copied."""
        return {
            "count": self.count,
            "sizes": self.sizes,
            "first": self.first,
            "second": self.second,
        }

    def restore(
        self, count: int, sizes: list[Tensor], first: list[Tensor], second: list[Tensor]
    ) -> None:
        """Go on from a state."""
        self.count, self.sizes, self.first, self.second = count, sizes, first, second
