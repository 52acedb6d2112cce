"""What was found in uploads, as rows for tables and files to download."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sightline_engines.spreadsheet import cell
from sightline_engines.types import Detections, ServedModel


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One picture's detections; `time_s` is set for the pictures of a clip."""

    file: str
    size_wh: tuple[int, int]
    detections: Detections
    labels: tuple[str, ...]
    model: ServedModel
    time_s: float | None = None


def rows(findings: list[Finding]) -> list[dict[str, Any]]:
    """Return one flat row a detection."""
    return [
        {
            "file": finding.file,
            **({} if finding.time_s is None else {"time_s": round(finding.time_s, 3)}),
            "class": found["class_name"],
            "score": found["score"],
            **dict(zip(("x1", "y1", "x2", "y2"), found["xyxy"], strict=True)),
        }
        for finding in findings
        for found in finding.detections.to_dicts(finding.labels)
    ]


def summary(findings: list[Finding]) -> str:
    """Return the count of each class in words, most frequent first.

    What stays in a clip for a while has a box in each of its pictures: there, boxes are counted.
    """
    counts = Counter(row["class"] for row in rows(findings)).most_common()
    if any(finding.time_s is not None for finding in findings):
        words = [f"{count} of {name}" for name, count in counts]
        return "boxes: " + ", ".join(words) if words else "nothing found"
    return ", ".join(f"{count} {name}" for name, count in counts) or "nothing found"


def to_csv(findings: list[Finding]) -> str:
    """Return the rows as CSV; text that a spreadsheet would run as a formula is quoted."""
    timed = any(finding.time_s is not None for finding in findings)
    names = ["file", *(["time_s"] if timed else []), "class", "score", "x1", "y1", "x2", "y2"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    for row in rows(findings):
        writer.writerow(
            {name: cell(value) if isinstance(value, str) else value for name, value in row.items()}
        )
    return text.getvalue()


def to_json(findings: list[Finding]) -> str:
    """Return everything as JSON, one object a picture."""
    return json.dumps(
        [
            {
                "file": finding.file,
                **({} if finding.time_s is None else {"time_s": round(finding.time_s, 3)}),
                "image": {"width": finding.size_wh[0], "height": finding.size_wh[1]},
                "model": {"name": finding.model.name, "version": finding.model.version},
                "detections": finding.detections.to_dicts(finding.labels),
            }
            for finding in findings
        ],
        indent=1,
    )
