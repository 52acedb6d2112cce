"""The default threshold: chosen on the training side, so that the pictures kept aside stay out.

The rule: of the thresholds whose mean F1 over the classes is within 0.015 of the best, the highest:
on a live picture a false box annoys more than a missed one.

The model has learnt from these pictures: F1 is flattered here, and false alarms are too few. What
the chosen threshold gives on the pictures kept aside is printed by evaluate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sightline_engines.postprocess import DetectOptions
from sightline_training.boxes import Array
from sightline_training.detectors import through_onnxruntime
from sightline_training.measure.alarms import count, without_people
from sightline_training.measure.candidates import OVERLAP, Candidate, ours, shown
from sightline_training.measure.evaluate import f1
from sightline_training.measure.material import SET_OF, require
from sightline_training.measure.tables import table
from sightline_training.samples import LABELS, Sample, held_out, read_picture, truths

STEPS = tuple(round(0.05 * step, 2) for step in range(6, 15))  # 0.30 to 0.70
NEAR = 0.015  # of the best mean F1
EVERY = {"faces": 4, "coco": 1}  # of a set's pictures, so that it takes a minute


@dataclass(frozen=True, slots=True)
class Score:
    """What a threshold gives on training pictures."""

    confidence: float
    f1: tuple[float, ...]  # of each class the model knows
    alarms: float | None  # in 100 pictures without people; None where there is none

    @property
    def mean_f1(self) -> float:
        """F1 over the classes."""
        return sum(self.f1) / len(self.f1)


def choose(scores: Sequence[Score]) -> float:
    """Return the threshold by the rule above."""
    best = max(score.mean_f1 for score in scores)
    return max(score.confidence for score in scores if score.mean_f1 >= best - NEAR)


def training_side(data: Path, name: str) -> list[Sample]:
    """Decode a share of a set's training pictures, with the boxes that people drew."""
    aside = held_out(name)
    files = [(f, boxes) for f, boxes in sorted(truths(data, name).items()) if f not in aside]
    folder = data / name / "images"
    return [Sample(f, read_picture(folder / f), boxes) for f, boxes in files[:: EVERY[name]]]


def score(candidate: Candidate, data: Path) -> list[Score]:
    """Measure every threshold on the training side, suppressed as the product does."""
    detector = candidate.open(through_onnxruntime)
    options = DetectOptions(conf=STEPS[0], iou=OVERLAP)
    f1s: dict[int, list[float]] = {}
    alarms: list[float | None] = []
    for label, name in SET_OF.items():
        if label not in candidate.labels and name != "coco":
            continue
        samples = training_side(data, name)
        found = [shown(detector(sample.bgr), sample.bgr, options) for sample in samples]
        if label in candidate.labels:
            f1s[label] = [f1(samples, found, label, step) for step in STEPS]
        if name == "coco":
            alarms = [_alarms(samples, found, step) for step in STEPS]
    columns = zip(*f1s.values(), strict=True)
    return [Score(c, f, a) for c, f, a in zip(STEPS, columns, alarms, strict=True)]


def _alarms(samples: Sequence[Sample], found: Sequence[Array], confidence: float) -> float | None:
    nobody = ((samples[i].name, found[i]) for i in without_people(samples))
    sure = ((name, rows[rows[:, 5] >= confidence]) for name, rows in nobody)
    return count("coco", sure).per_hundred


def threshold(model: Path, data: Path) -> tuple[float, str]:
    """Choose a file's threshold; return it and the table it was chosen from.

    Raises:
        FileNotFoundError: the file or the material isn't there.
    """
    require([model], data)
    scores = score(ours(model), data)
    chosen = choose(scores)
    headings = ("threshold", *(f"{name} F1" for name in LABELS), "mean F1", "false alarms in 100")
    rows = []
    for one in scores:
        step = f"{one.confidence:.2f}"
        name = f"**{step}**" if one.confidence == chosen else step
        rows.append(
            (
                name,
                *(f"{v:.3f}" for v in (*one.f1, one.mean_f1)),
                "-" if one.alarms is None else f"{one.alarms:.1f}",
            )
        )
    return chosen, table(headings, rows)
