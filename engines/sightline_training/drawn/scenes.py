"""Scenes: drawn pictures of a room with people in it, and the boxes of what was drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from sightline_training.drawn.figure import Figure, sprite_of
from sightline_training.drawn.room import desk, room
from sightline_training.drawn.sprite import place
from sightline_training.samples import Picture, Sample

PERSON, FACE = 0, 1
_FACE = (-0.4, -0.52, 0.4, 0.55)  # of a figure, in face heights: hairline to chin
_UNSEEN = 1.7  # radians that a head may turn before what is seen isn't a face


@dataclass(frozen=True, slots=True)
class Place:
    """Where a figure stands: its face's middle and height, in pixels."""

    x: float
    y: float
    face_px: float
    figure: Figure = field(default_factory=Figure)


@dataclass(frozen=True, slots=True)
class Plan:
    """A scene to draw: who is where, among what, in which light."""

    name: str
    people: tuple[Place, ...] = ()
    things: Callable[[Picture, np.random.Generator], None] | None = None
    with_desk: bool = False
    exposure: float = 1.0  # factor on the light
    blur_px: float = 0.6


def drawn(plan: Plan, seed: int = 0) -> Sample:
    """Draw a scene; boxes are what of each figure lies in the picture."""
    rng = np.random.default_rng(seed)
    picture = room(rng)
    if plan.things:
        plan.things(picture, rng)
    boxes: list[list[float]] = []
    for person in plan.people:
        boxes += put(picture, person)
    if plan.with_desk:
        desk(picture)
    lit = cv2.GaussianBlur(picture, (0, 0), plan.blur_px).astype(np.float32) * plan.exposure
    lit += rng.normal(0, 2.5, lit.shape)
    noisy = np.asarray(np.clip(lit, 0, 255), np.uint8)
    return Sample(plan.name, noisy, np.asarray(boxes, np.float32).reshape(-1, 6))


def put(picture: Picture, person: Place) -> list[list[float]]:
    """Draw one figure; return its boxes, cut at the picture's edge."""
    sprite = sprite_of(person.figure, person.face_px)
    over = place(picture, sprite, (person.x, person.y), person.face_px)
    rows = np.flatnonzero(over.max(1) > 0.5)
    columns = np.flatnonzero(over.max(0) > 0.5)
    if not len(rows):
        return []
    boxes = [[columns[0], rows[0], columns[-1] + 1.0, rows[-1] + 1.0, PERSON, 1.0]]
    if abs(person.figure.turn) <= _UNSEEN:
        limit = np.asarray([picture.shape[1], picture.shape[0]] * 2)
        corners = np.asarray(_FACE) * person.face_px + [person.x, person.y] * 2
        x1, y1, x2, y2 = np.clip(corners, 0, limit)
        if min(x2 - x1, y2 - y1) > 0.2 * person.face_px:
            boxes.append([x1, y1, x2, y2, FACE, 1.0])
    return boxes
