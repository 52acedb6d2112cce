"""Material: what is measured on, and what is said where it is missing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sightline_training.samples import SETS

SET_OF = {0: "coco", 1: "faces"}  # which set has labels of people's own for each class


def require(files: Iterable[Path], data: Path) -> None:
    """Check that files are there, and the sets of pictures with their labels.

    Raises:
        FileNotFoundError: what is missing, and how to name another place.
    """
    labels = (data / file for file, _ in SETS.values())
    wanted = [*files, *labels, *(data / name / "images" for name in SETS)]
    missing = [str(path) for path in wanted if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"{', '.join(missing)} not found. --data names the folder of the material "
            "(docs/testing.md), --model the ONNX file."
        )
