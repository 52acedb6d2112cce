"""Report: the table of the shipped file beside its teachers, on the same pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sightline_training.boxes import Array
from sightline_training.detectors import Detector, rfb, yolox
from sightline_training.evaluate import (
    average_precision,
    best_threshold,
    count_matches,
    false_alarms,
    run_over,
    speed,
)
from sightline_training.samples import LABELS, Sample, load

HEADINGS = ("model", "class", "AP50", "AP50 tall", "AP50-95", "boxes (tall)", "best F1 at", "ms")
SET_OF = {0: "coco", 1: "faces"}  # which set has labels of people's own for each class


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file to measure and the classes it knows."""

    name: str
    path: Path
    detector: Detector
    labels: tuple[int, ...]


def candidates(model: Path, data: Path) -> list[Candidate]:
    """List the model and its two teachers."""
    nano, face = data / "weights/yolox_nano.onnx", data / "weights/version-RFB-320.onnx"
    return [
        Candidate(model.stem, model, yolox(model, {0: 0, 1: 1}), (0, 1)),
        Candidate("yolox_nano", nano, yolox(nano, {0: 0}), (0,)),
        Candidate("version-RFB-320", face, rfb(face), (1,)),
    ]


def table(rows: list[tuple[str, ...]]) -> str:
    """Lay rows out as Markdown."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rows_of(candidate: Candidate, sets: dict[str, list[Sample]]) -> list[tuple[str, ...]]:
    """Measure a candidate, a row for each class."""
    rows: list[tuple[str, ...]] = []
    for label in candidate.labels:
        samples = sets[SET_OF[label]]
        found, spent_ms = run_over(samples, candidate.detector)
        got = average_precision(samples, found, label)
        rows.append(
            (
                candidate.name,
                LABELS[label],
                f"{got.ap50:.3f}",
                f"{got.ap50_tall:.3f}",
                f"{got.ap:.3f}",
                f"{got.boxes} ({got.tall_boxes})",
                f"{best_threshold(samples, found, label):.2f}",
                f"{spent_ms:.1f}",
            )
        )
    return rows


def at_threshold(
    sets: dict[str, list[Sample]], found: dict[str, list[Array]], confidence: float
) -> str:
    """Say recall, precision and false alarms at one confidence."""
    parts = []
    for label, name in SET_OF.items():
        hits, wrong, missed = count_matches(sets[name], found[name], label, confidence)
        recall, precision = hits / max(1, hits + missed), hits / max(1, hits + wrong)
        parts.append(f"{LABELS[label]} recall {recall:.2f}, precision {precision:.2f}")
    alarms = false_alarms(sets["coco"], found["coco"], confidence)
    return f"at {confidence:.2f}: {'; '.join(parts)}; {alarms:.0f} false alarms in 100 pictures"


def report(model: Path, data: Path, confidence: float) -> str:
    """Measure everything on the pictures kept aside."""
    sets = {name: load(data, name, {}, held=True) for name in SET_OF.values()}
    listed = candidates(model, data)
    text = table([row for candidate in listed for row in rows_of(candidate, sets)])
    found = {name: run_over(samples, listed[0].detector)[0] for name, samples in sets.items()}
    speeds = ", ".join(f"{c.name} {speed(c.path):.0f}" for c in listed)
    return "\n\n".join(
        (
            text,
            at_threshold(sets, found, confidence),
            f"OpenVINO, 2 threads, pictures/s: {speeds}",
        )
    )
