"""Teachers: detectors that give each set the labels it lacks. Used for training alone."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from sightline_training.boxes import Array, area, intersection, iou
from sightline_training.detectors import Detector, rfb, settle, yolox
from sightline_training.samples import Picture, held_out, read_picture, truths

PERSON_SURE, PERSON_UNSURE = 0.35, 0.15
FACE_SURE, FACE_UNSURE = 0.75, 0.40
ON_PERSON = 0.7  # of a face's area
MADE_BY = "made by"


def teach(bgr: Picture, teacher: Detector, sure: float, unsure: float) -> Array:
    """Label a picture, plain and mirrored: (n, 6), trust 0 where the teacher is unsure."""
    mirrored = teacher(np.ascontiguousarray(bgr[:, ::-1]))
    mirrored[:, [0, 2]] = bgr.shape[1] - mirrored[:, [2, 0]]
    rows = settle(np.concatenate((teacher(bgr), mirrored)), 0.5, unsure)
    rows[:, :4] = rows[:, :4].clip(0, np.asarray([bgr.shape[1], bgr.shape[0]] * 2))
    rows[rows[:, 5] < sure, 5] = 0
    return rows.astype(np.float32)


def covered(rows: Array, others: Array) -> Array:
    """Measure the largest share of each of rows (n, 4+) that one of others (m, 4+) covers: (n,)."""
    shared = intersection(rows[:, :4], others[:, :4]).max(1, initial=0)
    share: Array = shared / np.maximum(area(rows[:, :4]), 1e-6)
    return share


def label_sets(data: Path, person: Path, face: Path, output: Path) -> None:
    """Write {set: {file: boxes}} for the training side of both sets, whole or not at all.

    Faces that RFB sees in `faces` and nobody drew become regions where nothing is learnt. In
    `coco` it also sees faces in clocks and cups: only those on a drawn person count.
    """
    people, face_finder = yolox(person, {0: 0}), rfb(face)
    result: dict[str, dict[str, list[list[float]]]] = {"faces": {}, "coco": {}}
    for name, files in result.items():
        for file, drawn in truths(data, name).items():
            if file in held_out(name):
                continue
            bgr = read_picture(data / name / "images" / file)
            found = teach(bgr, face_finder, FACE_SURE, FACE_UNSURE)
            if name == "faces":
                missed = iou(found[:, :4], drawn[:, :4]).max(1, initial=0) < 0.3
                found = found[missed & (found[:, 5] > 0)]
                found[:, 5] = 0
                persons = teach(bgr, people, PERSON_SURE, PERSON_UNSURE)
                found = np.concatenate((found, persons))
            else:
                found = found[covered(found, drawn[drawn[:, 4] == 0]) >= ON_PERSON]
            files[file] = np.round(found.astype(float), 3).tolist()
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_suffix(".tmp")
    temporary.write_text(json.dumps({MADE_BY: rules(person, face)} | result), "utf-8")
    os.replace(temporary, output)


def rules(person: Path, face: Path) -> str:
    """Say who teaches, and by which rules: labels made by others are no longer good."""
    teachers = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (person, face)]
    return f"{teachers} {PERSON_SURE, PERSON_UNSURE, FACE_SURE, FACE_UNSURE, ON_PERSON}"


def are_current(path: Path, person: Path, face: Path) -> bool:
    """Say whether a file holds labels that these teachers made by today's rules."""
    if not path.exists():
        return False
    return bool(json.loads(path.read_text("utf-8")).get(MADE_BY) == rules(person, face))


def read_labels(path: Path, name: str) -> dict[str, Array]:
    """Read what `label_sets` wrote for one set."""
    content = json.loads(path.read_text("utf-8"))[name]
    return {file: np.asarray(rows, np.float32).reshape(-1, 6) for file, rows in content.items()}
