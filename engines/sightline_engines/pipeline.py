"""One batch through the three steps: preprocess, infer, postprocess, each timed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sightline_engines.postprocess import DetectOptions, postprocess
from sightline_engines.preprocess import preprocess
from sightline_engines.types import Detections, Engine, Image, ModelSpec

__all__ = ["DetectOptions", "StageTimes", "class_ids", "default_options", "detect"]


@dataclass(frozen=True, slots=True)
class StageTimes:
    """What a batch's steps took, in milliseconds for the whole batch."""

    preprocess: float = 0.0
    infer: float = 0.0
    postprocess: float = 0.0


def default_options(spec: ModelSpec) -> DetectOptions:
    """Return the model's own thresholds."""
    defaults = spec.postprocess
    return DetectOptions(defaults.conf, defaults.iou, None, defaults.max_detections)


def class_ids(labels: Sequence[str], names: Iterable[str]) -> frozenset[int] | None:
    """Return the numbers of class names, None for no names (all classes).

    Raises ValueError naming the unknown class and the known ones.
    """
    wanted = list(names)
    for name in wanted:
        if name not in labels:
            raise ValueError(f"The model has no class {name!r}; it knows {', '.join(labels)}.")
    return frozenset(i for i, label in enumerate(labels) if label in wanted) if wanted else None


def detect(
    engine: Engine,
    images: Sequence[Image],
    options: Sequence[DetectOptions],
    sizes_wh: Sequence[tuple[int, int]] | None = None,
) -> tuple[list[Detections], StageTimes]:
    """Detect in a batch of pictures, each with its own options.

    `sizes_wh` are the sources' sizes where `decode_frame` made the pictures smaller; boxes are
    in pixels of the sources. Blocks for as long as the engine runs; one call at a time for an
    engine.
    """
    if len(images) != len(options):
        raise ValueError(f"{len(images)} pictures need as many options, got {len(options)}")
    if not images:
        return [], StageTimes()
    started = time.perf_counter()
    batch = preprocess(images, engine.spec, sizes_wh)
    prepared = time.perf_counter()
    raw = engine.infer(batch.tensor)
    inferred = time.perf_counter()
    detections = postprocess(raw, batch.letterboxes, engine.spec, options)
    done = time.perf_counter()
    times = StageTimes(
        (prepared - started) * 1e3, (inferred - prepared) * 1e3, (done - inferred) * 1e3
    )
    return detections, times
