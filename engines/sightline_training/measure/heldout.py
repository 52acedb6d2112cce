"""Held out: what every candidate finds on the pictures kept aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightline_training.boxes import Array
from sightline_training.detectors import settle
from sightline_training.measure.aims import Verdict, judge
from sightline_training.measure.alarms import Alarms, count, without_people
from sightline_training.measure.candidates import Entry
from sightline_training.measure.evaluate import (
    AP_OVERLAP,
    Precision,
    average_precision,
    best_threshold,
    count_matches,
)
from sightline_training.measure.material import SET_OF
from sightline_training.measure.tables import table
from sightline_training.samples import LABELS, Picture, Sample, load

HEADINGS = (
    *("model", "class", "AP50", "AP50 tall", "AP50 small", "AP50-95"),
    *("boxes (tall)", "best F1 at", "ms", "pictures/s"),
)
TIMED = 20  # pictures of each set that are kept for timing
WHERE = "COCO, kept aside"


@dataclass(frozen=True, slots=True)
class Figures:
    """A candidate on one class."""

    precision: Precision
    best_f1_at: float  # on these very pictures: it sets nothing
    recall: float  # at the candidate's own threshold, suppressed as the product does
    exactness: float


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """All candidates on the pictures kept aside."""

    figures: dict[tuple[str, int], Figures] = field(default_factory=dict)  # by name and class
    alarms: dict[str, Alarms] = field(default_factory=dict)  # by name
    pictures: list[Picture] = field(default_factory=list)  # a few of each set


def measure(entries: Sequence[Entry], data: Path) -> Held:
    """Measure every candidate on the classes it knows, one set in memory at a time."""
    held = Held()
    for label, name in SET_OF.items():
        samples = load(data, name, {}, held=True)
        held.pictures.extend(sample.bgr for sample in samples[:TIMED])
        for entry in entries:
            knows = label in entry.candidate.labels
            if not knows and name != "coco":
                continue
            raw = [entry.detector(sample.bgr) for sample in samples]
            shown = [entry.shown(rows, s.bgr) for rows, s in zip(raw, samples, strict=True)]
            if knows:
                held.figures[entry.candidate.name, label] = _figures(samples, raw, shown, label)
            if name == "coco":
                nobody = ((samples[i].name, shown[i]) for i in without_people(samples))
                held.alarms[entry.candidate.name] = count(WHERE, nobody)
    return held


def _figures(
    samples: Sequence[Sample], raw: Sequence[Array], shown: Sequence[Array], label: int
) -> Figures:
    found = [settle(rows, AP_OVERLAP) for rows in raw]
    hits, wrong, missed = count_matches(samples, shown, label)
    return Figures(
        average_precision(samples, found, label),
        best_threshold(samples, found, label),
        recall=hits / max(1, hits + missed),
        exactness=hits / max(1, hits + wrong),
    )


def main_table(held: Held, ms: dict[str, float], a_second: dict[str, float]) -> str:
    """Lay out the figures, with each one's time by name."""
    rows = []
    for (name, label), got in held.figures.items():
        ap = got.precision
        rows.append(
            (
                *(name, LABELS[label], f"{ap.ap50:.3f}", f"{ap.ap50_tall:.3f}"),
                *(f"{ap.ap50_small:.3f}", f"{ap.ap:.3f}", f"{ap.boxes} ({ap.tall_boxes})"),
                *(f"{got.best_f1_at:.2f}", f"{ms[name]:.1f}", f"{a_second[name]:.0f}"),
            )
        )
    return table(HEADINGS, rows)


def threshold_table(held: Held, entries: Sequence[Entry]) -> str:
    """Lay out recall and precision of each candidate at its threshold."""
    rows = []
    for entry in entries:
        for label in entry.candidate.labels:
            name = entry.candidate.name
            got = held.figures[name, label]
            threshold = f"{entry.options.conf:.2f}, {entry.origin}"
            rows.append(
                (name, LABELS[label], threshold, f"{got.recall:.2f}", f"{got.exactness:.2f}")
            )
    return table(("model", "class", "threshold", "recall", "precision"), rows)


def loss(held: Held, model: str, int8: str) -> dict[str, float]:
    """Return what the INT8 file loses of AP50, by class; nothing where there is none."""
    return {
        LABELS[label]: got.precision.ap50 - held.figures[int8, label].precision.ap50
        for (name, label), got in held.figures.items()
        if name == model and (int8, label) in held.figures
    }


def verdicts(held: Held, model: str) -> list[Verdict]:
    """Hold the model's average precision against the aims."""
    ap = {label: held.figures[model, label].precision for label in (1, 0)}
    return [
        *(judge(LABELS[label], got.ap50) for label, got in ap.items()),
        *(judge(f"{LABELS[label]} tall", got.ap50_tall) for label, got in ap.items()),
    ]
