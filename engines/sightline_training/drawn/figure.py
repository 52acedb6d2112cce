"""Figures: a person drawn from outlines, in units of the face's height, chin to hairline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sightline_training.drawn.head import draw_hair_behind, draw_head
from sightline_training.drawn.looks import PEOPLE, Looks
from sightline_training.drawn.sprite import Sprite, both, oval, smooth

HEAD_TOP = -0.72
BUST, FULL = 3.6, 6.9  # how far down from the face's middle it is drawn
_HALF_WIDTH = 1.5
_SHARP, _SHARPEST = 120, 200  # pixels of a face that is drawn, and made smaller where it is placed


@dataclass(frozen=True, slots=True)
class Figure:
    """What is drawn of a person, and how they hold themselves."""

    looks: Looks = PEOPLE[0]
    turn: float = 0.0  # radians; pi/2 is full profile, pi the back of the head
    length: float = BUST
    mask: bool = False
    hand: bool = False  # over the mouth
    only_head: bool = False

    def sprite(self, px: float = _SHARP) -> Sprite:
        """Draw it, sharp enough for a face of `px` pixels."""
        bottom = 0.62 if self.only_head else self.length
        half = 0.6 if self.only_head else _HALF_WIDTH
        sprite = Sprite((-half, HEAD_TOP, half, bottom), min(max(_SHARP, px), _SHARPEST))
        draw_hair_behind(sprite, self.looks, self.turn)
        if not self.only_head:
            _body(sprite, self)
        draw_head(sprite, self.looks, self.turn, self.mask)
        if self.hand:
            _hand_on_mouth(sprite, self.looks)
        return sprite


@lru_cache(maxsize=16)
def sprite_of(figure: Figure, px: float = _SHARP) -> Sprite:
    """Draw a figure, or return the drawing made before; it is not to be drawn on."""
    return figure.sprite(px)


def _body(sprite: Sprite, figure: Figure) -> None:
    looks = figure.looks
    if figure.length > BUST:
        _legs(sprite, looks)
    skin = looks.tone(0.86)
    sprite.fill(smooth(both([(0.2, 0.2), (0.21, 0.62), (0.42, 0.82), (0.1, 1.1)])), skin, 0.12)
    for side in (-1, 1):
        arm = [
            (0.78, 0.85),
            (1.05, 1.15),
            (1.16, 2.1),
            (1.1, 3.0),
            (0.82, 3.0),
            (0.72, 2.1),
            (0.6, 1.2),
        ]
        outline = smooth(np.asarray(arm) * (side, 1))
        if figure.length > BUST:
            sprite.fill(oval(side * 0.97, 3.22, 0.15, 0.26), skin, 0.08)
        sprite.fill(outline, looks.dyed(0.93), 0.12)
    torso = [
        (0.24, 0.66),
        (0.6, 0.78),
        (0.95, 0.98),
        (0.86, 1.5),
        (0.76, 2.3),
        (0.8, 3.75),
        (0, 3.8),
    ]
    sprite.fill(smooth(both(torso), 2), looks.shirt, 0.3)
    neck = smooth(both([(0.26, 0.6), (0.2, 0.85), (0.0, 1.02)]))
    sprite.fill(neck, skin, 0.1)
    sprite.fill(oval(0, 0.58, 0.26, 0.12), looks.tone(0.5), soft=0.07, opacity=0.7)
    _seams(sprite, looks)


def _seams(sprite: Sprite, looks: Looks) -> None:
    for side in (-1, 1):  # the collar, the sleeves' folds
        collar = [(side * 0.27, 0.62), (side * 0.42, 0.8), (side * 0.16, 1.08), (side * 0.03, 1.02)]
        sprite.fill(collar, looks.dyed(1.15), 0.03)
        for top, x in ((1.2, 0.72), (1.7, 0.7), (2.3, 0.74)):
            fold = [(side * x, top), (side * (x - 0.1), top + 0.3), (side * (x - 0.06), top + 0.7)]
            sprite.line(fold, looks.dyed(0.6), 0.05, opacity=0.6)
    sprite.line([(0.0, 1.05), (0.01, 2.0), (0.0, 3.7)], looks.dyed(0.7), 0.03)


def _legs(sprite: Sprite, looks: Looks) -> None:
    trousers = (70.0, 52.0, 44.0)
    for side in (-1, 1):
        leg = [(0.0, 3.4), (0.78, 3.4), (0.7, 5.0), (0.56, 6.55), (0.2, 6.55), (0.1, 5.0)]
        shoe = [(0.18, 6.45), (0.55, 6.45), (0.72, 6.75), (0.5, 6.85), (0.16, 6.85)]
        sprite.fill(smooth(np.asarray(shoe) * (side, 1)), (38, 34, 32), 0.06)
        sprite.fill(smooth(np.asarray(leg) * (side, 1)), trousers, 0.16)


def _hand_on_mouth(sprite: Sprite, looks: Looks) -> None:
    skin = looks.tone(0.95)
    sleeve = smooth([(0.62, 1.9), (0.2, 0.75), (0.48, 0.62), (1.1, 1.7)])
    sprite.fill(sleeve, looks.dyed(0.95), 0.1)
    sprite.fill(
        smooth([(0.14, 0.78), (-0.08, 0.3), (0.12, 0.14), (0.42, 0.34), (0.5, 0.7)]), skin, 0.08
    )
    for index in range(4):
        y = 0.16 + index * 0.085
        finger = oval(-0.1 + index * 0.02, y, 0.21, 0.05, 0.12)
        sprite.fill(finger, looks.tone(0.97 - 0.02 * index), 0.03)
        sprite.line(
            [(-0.28, y + 0.045), (-0.1, y + 0.055), (0.1, y + 0.06)], looks.tone(0.55), 0.02
        )
