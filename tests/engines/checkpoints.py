"""Make PyTorch checkpoints in a child process: run with a folder, it fills it.

PyTorch costs seconds to import, and Ultralytics is never imported by the tests themselves.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any


class Malicious:
    """Unpickles to whatever its text does."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.text,)


def main(folder: Path, attack: str) -> None:
    """Write one checkpoint of each kind that the tests need."""
    torch: Any = import_module("torch")
    nn = torch.nn
    network = nn.Sequential(
        nn.AvgPool2d(8), nn.Flatten(), nn.Linear(192, 504), nn.Unflatten(1, (6, 84))
    )
    fixed = nn.Sequential(nn.Conv2d(3, 6, 8, 8), nn.Flatten(2))
    torch.save(network, folder / "module.pt")
    torch.save({"epoch": 3, "model": network}, folder / "training.pth")
    torch.save({"model": network}, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(network.state_dict(), folder / "weights.pt")
    torch.save({"epoch": torch.zeros(1)}, folder / "tensors.pt")
    torch.save({"model": Malicious(attack)}, folder / "malicious.pt")
    torch.save(fixed, folder / "other_head.pt")
    picture = torch.zeros(1, 3, 64, 64)
    torch.jit.trace(network, picture).save(str(folder / "script.pt"))
    torch.save({"model": Malicious("while True: pass")}, folder / "endless.pt")
    try:
        from sightline_engines.convert import ultralytics_child

        ultralytics_child.prepare(folder)
        ultralytics: Any = import_module("ultralytics")
    except ImportError:
        return
    model = ultralytics.YOLO("yolov8n.yaml")
    model.model.names = {number: f"thing{number}" for number in range(80)}
    model.save(str(folder / "yolo.pt"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_text())
