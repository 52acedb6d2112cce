"""Modules that the exporter's tests take to Triton."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.conftest import missing

SIDE = 32
PICTURE = {"input": (3, SIDE, SIDE)}
PAIR: dict[str, Any] = {
    "input_shapes": {"ids": (7,), "dense": (8,)},
    "input_types": {"ids": "int64"},
    "dynamic_axes": {"ids": {1: "tokens"}},
}


def import_torch() -> Any:
    """Return torch; skips where it isn't installed, fails so in CI."""
    if find_spec("torch") is None:
        missing("torch isn't installed (make torch)")
    return import_module("torch")


def classifier(seed: int = 0) -> Any:
    """Return a small classifier of pictures of any size: ten classes."""
    torch = import_torch()
    nn = torch.nn
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Dropout()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10)),
    ).train()


def pair(seed: int = 0) -> Any:
    """Return a module of two inputs and two outputs, which it answers as a dict."""
    torch = import_torch()
    nn: Any = torch.nn

    class _Pair(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(256, 8)
            self.inner, self.middle, self.end = nn.Linear(8, 8), nn.Linear(8, 4), nn.Linear(12, 5)

        def forward(self, ids: Any, dense: Any) -> dict[str, Any]:
            hidden = self.middle(torch.relu(self.inner(self.table(ids)))).mean(1)
            return {"score": self.end(torch.cat([hidden, dense], 1)), "hidden": hidden}

    torch.manual_seed(seed)
    return _Pair()


def answered_by(module: Any, feed: Mapping[str, NDArray[Any]]) -> Any:
    """Return what a module answers in evaluation mode, as torch has it."""
    torch = import_torch()
    training = module.training
    module.eval()
    with torch.no_grad():
        answer = module(*(torch.from_numpy(value) for value in feed.values()))
    module.train(training)
    return answer


def pictures(count: int, batch: int = 1, side: int = SIDE) -> list[dict[str, NDArray[np.float32]]]:
    """Return inputs of the classifier."""
    rng = np.random.default_rng(count)
    return [
        {"input": rng.standard_normal((batch, 3, side, side)).astype(np.float32)}
        for _ in range(count)
    ]


def write_samples(path: Path, count: int = 8) -> Path:
    """Write calibration samples of the classifier."""
    np.savez(path, input=np.concatenate([one["input"] for one in pictures(count)]))
    return path
