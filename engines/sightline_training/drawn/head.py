"""Heads: hair, face and what covers it, turned about their upright axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline_training.drawn.looks import Looks, scaled
from sightline_training.drawn.sprite import Colour, Points, Sprite, both, oval, smooth

_RADIUS = 0.385  # half the width of the face


def draw_hair_behind(sprite: Sprite, looks: Looks, turn: float) -> None:
    """Draw what is seen of the hair around the head."""
    shift = -0.12 * np.sin(turn)
    sprite.fill(oval(shift, -0.16, 0.46, 0.54), looks.hair, 0.1)


def draw_head(sprite: Sprite, looks: Looks, turn: float, mask: bool) -> None:
    """Draw ears, face and fringe; seen from behind there is only hair."""
    for side in (-1, 1):
        ear = _turned(np.asarray([(side * 0.384, 0.02)]), turn, 1.05)
        if len(ear):
            wide = 0.07 + 0.05 * abs(np.sin(turn))
            sprite.fill(oval(ear[0, 0], 0.03, wide, 0.13), looks.tone(0.88), 0.04)
            sprite.fill(oval(ear[0, 0], 0.03, wide * 0.5, 0.08), looks.tone(0.65), soft=0.02)
    if abs(turn) > 2.2:
        sprite.fill(smooth(both([(0.2, 0.45), (0.22, 0.2), (0.1, 0.6)])), looks.tone(0.85), 0.08)
        sprite.fill(oval(0, -0.14, 0.45, 0.55), looks.hair, 0.16)
        _strands(sprite, looks, 0.36)
        return
    jaw = [
        (0.0, -0.52),
        (0.3, -0.42),
        (0.4, -0.1),
        (0.38, 0.16),
        (0.27, 0.4),
        (0.12, 0.53),
        (0, 0.55),
    ]
    shift = 0.05 * np.sin(turn)
    sprite.fill(smooth(both(jaw), 4) + np.asarray((shift, 0)), looks.skin, 0.17)
    _features(sprite, looks, turn)
    if mask:
        _mask(sprite, turn)
    _fringe(sprite, looks, turn)


def _features(sprite: Sprite, looks: Looks, turn: float) -> None:
    for side in (-1, 1):
        cheek = _turned(oval(side * 0.2, 0.16, 0.11, 0.1), turn)
        _fill(sprite, cheek, (112, 124, 214), soft=0.06, opacity=0.28)
        socket = _turned(oval(side * 0.165, -0.05, 0.11, 0.075), turn)
        _fill(sprite, socket, looks.tone(0.66), soft=0.035, opacity=0.65)
        _eye(sprite, looks, side * 0.165, turn)
        arch = [(0.06, -0.145), (0.12, -0.178), (0.19, -0.182), (0.26, -0.14)]
        brow = _turned(np.asarray(arch) * (side, 1), turn)
        if len(brow) > 2:
            sprite.line(brow, scaled(looks.hair, 0.8), 0.052, 0.9)
    bridge = _turned([(0.035, -0.1), (0.07, 0.12), (0.02, 0.16), (0.015, -0.1)], turn, 1.1)
    _fill(sprite, bridge, looks.tone(0.7), soft=0.02, opacity=0.6)
    tip = _turned(oval(0, 0.12, 0.085, 0.065), turn, 1.18)
    _fill(sprite, tip, looks.tone(1.02), relief=0.05)
    light = _turned(oval(-0.015, 0.0, 0.018, 0.12), turn, 1.15)
    _fill(sprite, light, looks.tone(1.2), soft=0.02, opacity=0.6)
    for side in (-1, 1):
        nostril = _turned(oval(side * 0.042, 0.16, 0.022, 0.012), turn, 1.12)
        _fill(sprite, nostril, looks.tone(0.3), opacity=0.85)
    _mouth(sprite, looks, turn)


def _eye(sprite: Sprite, looks: Looks, x: float, turn: float) -> None:
    lid = np.asarray(
        [
            (-0.075, -0.03),
            (-0.04, -0.065),
            (0.02, -0.068),
            (0.075, -0.035),
            (0.03, -0.01),
            (-0.04, -0.008),
        ]
    )
    white = _turned(smooth(lid) + np.asarray((x, 0)), turn)
    _fill(sprite, white, (222, 226, 230), relief=0.03)
    _fill(sprite, _turned(oval(x, -0.038, 0.031, 0.031), turn), (52, 70, 88))
    _fill(sprite, _turned(oval(x, -0.038, 0.015, 0.015), turn), (14, 14, 16))
    _fill(sprite, _turned(oval(x - 0.012, -0.05, 0.007, 0.007), turn), (250, 250, 250))
    lash = np.asarray([(-0.08, -0.03), (-0.04, -0.068), (0.02, -0.072), (0.08, -0.036)])
    lash = _turned(lash + np.asarray((x, 0)), turn)
    if len(lash) > 2:
        sprite.line(lash, looks.tone(0.22), 0.022)


def _mouth(sprite: Sprite, looks: Looks, turn: float) -> None:
    blue, green, red = looks.tone(0.8)
    lips = (blue * 0.82, green * 0.68, red * 0.98)
    upper = smooth(both([(0, 0.285), (0.04, 0.27), (0.14, 0.312), (0.0, 0.318)]), 2)
    lower = smooth(both([(0, 0.31), (0.13, 0.314), (0.07, 0.365), (0, 0.375)]), 2)
    _fill(sprite, _turned(oval(0, 0.42, 0.09, 0.03), turn), looks.tone(0.7), soft=0.03, opacity=0.5)
    _fill(sprite, _turned(lower, turn, 1.05), lips, relief=0.03)
    _fill(sprite, _turned(upper, turn, 1.05), scaled(lips, 0.82), relief=0.02)
    parting = _turned([(-0.14, 0.312), (-0.05, 0.318), (0.05, 0.318), (0.14, 0.312)], turn, 1.05)
    if len(parting) > 2:
        sprite.line(parting, looks.tone(0.28), 0.018)


def _mask(sprite: Sprite, turn: float) -> None:
    cloth = (214.0, 196.0, 158.0)
    edge = both([(0, 0.05), (0.2, 0.09), (0.36, 0.16), (0.33, 0.38), (0.16, 0.55), (0, 0.58)])
    _fill(sprite, _turned(smooth(edge, 2), turn, 1.06), cloth, relief=0.12)
    for y in (0.2, 0.3, 0.4):
        fold = _turned([(-0.3, y), (-0.1, y + 0.03), (0.1, y + 0.03), (0.3, y)], turn, 1.05)
        if len(fold) > 2:
            sprite.line(fold, (170, 150, 118), 0.025, 0.8)


def _fringe(sprite: Sprite, looks: Looks, turn: float) -> None:
    cap = [
        (-0.42, 0.02),
        (-0.47, -0.3),
        (-0.3, -0.62),
        (0.0, -0.7),
        (0.3, -0.62),
        (0.47, -0.3),
        (0.42, 0.02),
    ]
    line = [
        (0.37, -0.16),
        (0.3, -0.32),
        (0.1, -0.4),
        (-0.14, -0.36),
        (-0.32, -0.28),
        (-0.37, -0.14),
    ]
    back = 0.95 * np.sin(turn)  # the hair line goes with the face, the crown stays
    moved = [(float(np.clip(x + 0.42 * back * (1 - abs(x)), -0.41, 0.41)), y) for x, y in line]
    sprite.fill(smooth([*cap, *moved], 2), looks.hair, 0.1)
    if abs(turn) > 0.5:
        side = -np.sign(turn)
        sprite.fill(oval(side * 0.26, -0.2, 0.2, 0.36, 0.0), looks.hair, 0.1)
    _strands(sprite, looks, 0.3)


def _strands(sprite: Sprite, looks: Looks, half: float) -> None:
    for x in np.linspace(-half, half, 9):
        strand = [(x * 0.5, -0.66), (x * 1.05, -0.58), (x * 1.3, -0.42)]
        sprite.line(strand, scaled(looks.hair, 1.7), 0.014, 0.5)


def _turned(points: Points, turn: float, radius: float = 1.0) -> NDArray[np.float64]:
    """Turn points that lie on the head; those that go out of sight are dropped."""
    flat = np.asarray(points, np.float64)
    angle = np.arcsin(np.clip(flat[:, 0] / _RADIUS, -1, 1)) + turn
    reach = _RADIUS * (1 + 1.3 * (radius - 1) * abs(np.sin(turn)))
    seen = np.abs(angle) < 1.75
    return np.stack((reach * np.sin(angle), flat[:, 1]), 1)[seen]


def _fill(sprite: Sprite, points: NDArray[np.float64], colour: Colour, **how: float) -> None:
    if len(points) > 2:  # the rest is out of sight
        sprite.fill(points, colour, **how)
