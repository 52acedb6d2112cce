"""Material: what the model card is drawn from, and what is said where it is missing."""

from __future__ import annotations

import json
from pathlib import Path

from sightline_training.samples import SETS

SET_OF = {0: "coco", 1: "faces"}  # which set has labels of people's own for each class
PEERS = {0: "yolox_nano", 1: "version-RFB-320"}  # the file that finds each class, in weights/


def require(model: Path, data: Path, peers: bool = False) -> None:
    """Check that the model and the held-out pictures are there.

    Raises:
        FileNotFoundError: what is missing, and how to name another place.
    """
    wanted = [model, model.with_suffix(".json")]
    wanted += [data / labels for labels, _ in SETS.values()]
    wanted += [data / name / "images" for name in SETS]
    if peers:
        wanted += [data / f"weights/{name}.onnx" for name in PEERS.values()]
    missing = [str(path) for path in wanted if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"The pictures of the model card need {', '.join(missing)}, not found. --data names "
            "the folder of the material (docs/testing.md), --model the ONNX file with its sidecar."
        )


def threshold(model: Path) -> float:
    """Read the default threshold from the model's sidecar."""
    sidecar = json.loads(model.with_suffix(".json").read_text("utf-8"))
    return float(sidecar["postprocess"]["conf"])
