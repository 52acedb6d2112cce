"""Candidates: the files that are measured side by side, and what each is told to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline_engines.postprocess import DetectOptions
from sightline_engines.sidecar import read_sidecar, sidecar_path
from sightline_training.boxes import Array
from sightline_training.detectors import Detector, Loader, rfb, settle, yolox
from sightline_training.samples import LABELS, Picture

OVERLAP = 0.5  # suppression where no sidecar says another, as the product's
NANO = "yolox_nano"
UNKNOWN = 0.5  # threshold where none is known


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file, the classes of ours it knows and how it is opened."""

    name: str
    path: Path
    labels: tuple[int, ...]
    open: Callable[[Loader], Detector]

    @property
    def own(self) -> bool:
        """Say whether it is a file of ours, which knows both classes."""
        return len(self.labels) == len(LABELS)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A candidate, opened, and what it shows."""

    candidate: Candidate
    options: DetectOptions
    origin: str  # of the threshold
    detector: Detector

    def shown(self, rows: Array, bgr: Picture) -> Array:
        """Keep what the product would show of unsuppressed rows."""
        return shown(rows, bgr, self.options)

    def look(self, bgr: Picture) -> Array:
        """Return what the product would show of a picture."""
        return self.shown(self.detector(bgr), bgr)

    def sure(self, rows: Array) -> NDArray[np.bool_]:
        """Mark the rows that reach its threshold."""
        return rows[:, 5] >= self.options.conf


def ours(model: Path) -> Candidate:
    """Describe a file of our own two classes."""
    return Candidate(model.stem, model, (0, 1), partial(yolox, model, {0: 0, 1: 1}))


def int8_of(model: Path) -> Path:
    """Return where the INT8 version of a file lies."""
    return model.with_name(f"{model.stem}-int8.onnx")


def listed(model: Path, data: Path) -> list[Candidate]:
    """List the model, its INT8 version where there is one, and the two teachers."""
    files = [model, *(p for p in (int8_of(model),) if p.is_file())]
    return [*(ours(file) for file in files), *peers(data).values()]


def peers(data: Path) -> dict[int, Candidate]:
    """Describe the teacher of each class."""
    nano, face = data / f"weights/{NANO}.onnx", data / "weights/version-RFB-320.onnx"
    return {
        0: Candidate(NANO, nano, (0,), partial(yolox, nano, {0: 0})),
        1: Candidate(face.stem, face, (1,), partial(rfb, face)),
    }


def declared(model: Path) -> DetectOptions | None:
    """Read what the sidecar beside a file says to show; None where it names no threshold."""
    fields = read_sidecar(sidecar_path(model)).get("postprocess", {})
    if "conf" not in fields:
        return None
    limit = int(fields.get("max_detections", 300))
    return DetectOptions(fields["conf"], fields.get("iou", OVERLAP), max_detections=limit)


def stated(model: Path) -> DetectOptions:
    """Read what the sidecar beside a file says to show.

    Raises:
        ValueError: it names no threshold, or isn't there.
    """
    options = declared(model)
    if options is None:
        raise ValueError(
            f"{sidecar_path(model)} names no threshold; write postprocess.conf, as publish does"
        )
    return options


def shown(rows: Array, bgr: Picture, options: DetectOptions) -> Array:
    """Keep what the product would show of unsuppressed rows, cut at the picture's edges."""
    kept = settle(rows, options.iou, options.conf, options.max_detections)
    height, width = bgr.shape[:2]
    kept[:, :4] = np.clip(kept[:, :4], 0, [width, height, width, height])
    return kept
