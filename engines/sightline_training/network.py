"""The detector: a depthwise CSP backbone, a PAN neck and a decoupled head, without batch norm.

Convolutions are created in the order in which they run, so a flat list of weights fills them
(see weights.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sightline_training.samples import LABELS


class Conv(nn.Module):
    """Convolve, add a bias, apply SiLU."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, (kernel - 1) // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.silu(self.conv(x), inplace=True)


def separable(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    """Make a depthwise 3x3 followed by a pointwise 1x1."""
    return nn.Sequential(Conv(c_in, c_in, 3, stride, groups=c_in), Conv(c_in, c_out, 1))


class Residual(nn.Module):
    """Pointwise, then separable; the input is added where `shortcut` says so."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(Conv(channels, channels, 1), separable(channels, channels))
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.shortcut else y


class CrossStage(nn.Module):
    """Send half the channels through `depth` residuals and join them with the other half."""

    def __init__(self, c_in: int, c_out: int, depth: int, shortcut: bool) -> None:
        super().__init__()
        half = c_out // 2
        self.main = Conv(c_in, half, 1)
        self.side = Conv(c_in, half, 1)
        self.residuals = nn.Sequential(*(Residual(half, shortcut) for _ in range(depth)))
        self.join = Conv(2 * half, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.join(torch.cat((self.residuals(self.main(x)), self.side(x)), 1))
        return y


class PoolPyramid(nn.Module):
    """Join max pools of 5, 9 and 13 pixels, each made from the one before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.enter = Conv(channels, half, 1)
        self.leave = Conv(4 * half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.enter(x)]
        for _ in range(3):
            levels.append(nn.functional.max_pool2d(levels[-1], 5, 1, 2))
        y: Tensor = self.leave(torch.cat(levels, 1))
        return y


class Backbone(nn.Module):
    """Return features at strides 8, 16 and 32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        # One 6x6 step of two equals a 2x2 pixel unshuffle followed by a 3x3.
        self.stem = Conv(3, w, 6, 2)
        self.stage4 = nn.Sequential(separable(w, 2 * w, 2), CrossStage(2 * w, 2 * w, 1, True))
        self.stage8 = nn.Sequential(separable(2 * w, 4 * w, 2), CrossStage(4 * w, 4 * w, 3, True))
        self.stage16 = nn.Sequential(separable(4 * w, 8 * w, 2), CrossStage(8 * w, 8 * w, 3, True))
        self.stage32 = nn.Sequential(
            separable(8 * w, 16 * w, 2), PoolPyramid(16 * w), CrossStage(16 * w, 16 * w, 1, False)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        at8 = self.stage8(self.stage4(self.stem(x)))
        at16 = self.stage16(at8)
        return at8, at16, self.stage32(at16)


class Neck(nn.Module):
    """Mix the three levels: first downwards from coarse to fine, then back up."""

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.reduce32 = Conv(16 * w, 8 * w, 1)
        self.top16 = CrossStage(16 * w, 8 * w, 1, False)
        self.reduce16 = Conv(8 * w, 4 * w, 1)
        self.top8 = CrossStage(8 * w, 4 * w, 1, False)
        self.down8 = separable(4 * w, 4 * w, 2)
        self.out16 = CrossStage(8 * w, 8 * w, 1, False)
        self.down16 = separable(8 * w, 8 * w, 2)
        self.out32 = CrossStage(16 * w, 16 * w, 1, False)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        at8, at16, at32 = features
        side32 = self.reduce32(at32)
        side16 = self.reduce16(self.top16(torch.cat((_double(side32), at16), 1)))
        out8 = self.top8(torch.cat((_double(side16), at8), 1))
        out16 = self.out16(torch.cat((self.down8(out8), side16), 1))
        out32 = self.out32(torch.cat((self.down16(out16), side32), 1))
        return out8, out16, out32


class Head(nn.Module):
    """Predict box, objectness and classes at one level: (N, 5 + C, h, w), all as logits."""

    def __init__(self, c_in: int, channels: int, classes: int) -> None:
        super().__init__()
        c = channels
        self.stem = Conv(c_in, c, 1)
        self.class_tower = nn.Sequential(separable(c, c), separable(c, c))
        self.classes = nn.Conv2d(c, classes, 1)
        self.box_tower = nn.Sequential(separable(c, c), separable(c, c))
        self.box = nn.Conv2d(c, 4, 1)
        self.objectness = nn.Conv2d(c, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        box = self.box_tower(x)
        classes = self.classes(self.class_tower(x))
        return torch.cat((self.box(box), self.objectness(box), classes), 1)


class Detector(nn.Module):
    """Map (N, 3, S, S) BGR 0-255 to (N, A, 5 + C) raw grid logits, A over strides 8, 16, 32."""

    def __init__(self, classes: int = len(LABELS), width: int = 16) -> None:
        super().__init__()
        self.backbone = Backbone(width)
        self.neck = Neck(width)
        self.heads = nn.ModuleList(Head(m * width, 4 * width, classes) for m in (4, 8, 16))

    def forward(self, images: Tensor) -> Tensor:
        levels = self.neck(self.backbone(images))
        flat = []
        for head, level in zip(self.heads, levels, strict=True):
            y = head(level)
            # Sizes are plain numbers here, so the exported reshape keeps only the batch free.
            flat.append(y.reshape(-1, int(y.shape[1]), int(y.shape[2]) * int(y.shape[3])))
        return torch.cat(flat, 2).transpose(1, 2)


def _double(x: Tensor) -> Tensor:
    """Repeat every pixel twice in both directions."""
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
