"""Failures: the sheet of scenes and layouts that shows where the model errs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sightline_engines.detector import Detector
from sightline_training.boxes import Array
from sightline_training.card.cases import worst
from sightline_training.card.misses import judge_all, missed_table, tally
from sightline_training.card.sheet import Part, Tile, write
from sightline_training.drawn.figure import FULL, Figure
from sightline_training.drawn.looks import PEOPLE
from sightline_training.drawn.room import coat, plant, poster
from sightline_training.drawn.scenes import Place, Plan, drawn
from sightline_training.measure.candidates import stated
from sightline_training.measure.matches import Judged, judge
from sightline_training.samples import LABELS, Picture, Sample

_X, _Y, _FACE = 320.0, 190.0, 120.0


def _one(name: str, x: float = _X, y: float = _Y, face_px: float = _FACE, **more: object) -> Plan:
    return Plan(name, (Place(x, y, face_px, Figure(**more)),))  # type: ignore[arg-type]


def _portrait(picture: Picture, _: np.random.Generator) -> None:
    poster(picture, Figure(PEOPLE[3]))


PLAIN = _one("plain: face 25 % of the height")
_PAIR = (Place(305, 175, 96, Figure(PEOPLE[1])), Place(362, 205, 118, Figure(PEOPLE[3])))
SCENES = (
    PLAIN,
    _one("close up", y=250, face_px=330),
    _one("small: face 5 % of the height", y=215, face_px=24, length=FULL),
    _one("tiny: face 2 % of the height", y=340, face_px=9, length=FULL),
    _one("only an arm in the picture", x=732),
    _one("turned by 45°", turn=0.8),
    _one("full profile", turn=1.5),
    _one("from behind", turn=3.1),
    _one("mask", mask=True),
    _one("hand over the mouth", hand=True),
    Plan("dark: 3 % of the light", PLAIN.people, exposure=0.03),
    Plan("overexposed", PLAIN.people, exposure=4.5),
    Plan("blurred", PLAIN.people, blur_px=18),
    _one("mostly out at the side", x=662),
    _one("cut below the eyes", y=-6, length=FULL),
    Plan("two who overlap", _PAIR),
    Plan("a coat on a hook", things=lambda picture, _: coat(picture)),
    Plan("a plant", things=plant),
    Plan("a poster of a person", things=_portrait),
    Plan("an empty room"),
)
_DRAWN = (
    "Drawn by the code that the tests use, one thing varied at a time. A drawing is no photograph: "
    "what is\nmissed here may be found in reality, and the other way round. "
    "Dashed: true; orange: missed. Solid: found."
)
_REAL = (
    "The largest boxes missed and the surest false alarms of the held-out pictures. Places and "
    "finds are real;\nthe people are drawn in at the labelled boxes, the rest is left out. One "
    "set has labels of persons alone, the other of faces alone."
)


def draw(model: Path, data: Path, output: Path) -> str:
    """Write the sheet as PNG; return the table of what is missed.

    Raises:
        FileNotFoundError: material is missing.
        ValueError: the sidecar names no threshold.
    """
    judged = judge_all(model, data)
    write(parts(model, judged), [tally(judged[label]) for label in sorted(judged)], output)
    return missed_table(judged)


def parts(model: Path, judged: dict[int, list[Judged]]) -> list[Part]:
    """Run the model on the drawn scenes and choose the worst of the real pictures."""
    confidence = stated(model).conf
    with Detector.load(model, "onnxruntime") as detector:
        tiles = [tile(scene, find(detector, scene), confidence) for scene in map(drawn, SCENES)]
    return [
        Part("Drawn scenes", _DRAWN, tiles),
        Part("Layouts of real pictures, without their pixels", _REAL, worst(judged)),
    ]


def find(detector: Detector, scene: Sample) -> Array:
    """Detect as the product does; rows of x1, y1, x2, y2, class, score."""
    got = detector(scene.bgr)
    return np.asarray(np.column_stack((got.xyxy, got.class_id, got.score)), np.float32)


def tile(scene: Sample, found: Array, confidence: float) -> Tile:
    """Show a scene with what was found in it."""
    each = [judge(scene, found, label, confidence) for label in range(len(LABELS))]
    return Tile(
        scene.name,
        scene.bgr,
        np.concatenate([one.boxes for one in each]),
        np.concatenate([one.found for one in each]),
        np.concatenate([one.missed for one in each]),
        np.concatenate([one.wrong for one in each]),
    )
