"""Rooms: the grounds that figures are placed on, and things that aren't people."""

from __future__ import annotations

import cv2
import numpy as np

from sightline_training.drawn.figure import Figure, sprite_of
from sightline_training.drawn.sprite import Colour, Sprite, oval, place, smooth
from sightline_training.samples import Picture

SIZE_WH = (640, 480)
_WALL = (176.0, 190.0, 198.0)


def room(rng: np.random.Generator) -> Picture:
    """Draw a wall in soft light, a floor, a shelf of books and a window."""
    width, height = SIZE_WH
    y, x = np.mgrid[:height, :width].astype(np.float32)
    light = 1.08 - 0.22 * x / width - 0.12 * y / height
    tint = np.asarray(_WALL, np.float32) * rng.uniform(0.93, 1.05, 3).astype(np.float32)
    bgr = light[..., None] * tint
    sprite = Sprite((0, 0, 1, height / width), width)
    floor = height / width * 0.86
    sprite.fill([(0, floor), (1, floor), (1, 1), (0, 1)], (96, 120, 142))
    sprite.fill([(0, floor - 0.02), (1, floor - 0.02), (1, floor), (0, floor)], (205, 212, 215))
    sprite.fill([(0.03, 0.05), (0.2, 0.05), (0.2, 0.34), (0.03, 0.34)], (236, 240, 240), 0.01)
    for left in (0.04, 0.12):
        sprite.fill(
            [(left, 0.06), (left + 0.07, 0.06), (left + 0.07, 0.33), (left, 0.33)], (246, 232, 206)
        )
    sprite.fill([(0.74, 0.25), (0.98, 0.25), (0.98, 0.262), (0.74, 0.262)], (70, 98, 124), 0.01)
    left = 0.75
    while left < 0.94:
        wide, tall = rng.uniform(0.012, 0.026), rng.uniform(0.07, 0.11)
        cover: Colour = tuple(rng.uniform(50, 190, 3))
        sprite.fill(
            [(left, 0.25 - tall), (left + wide, 0.25 - tall), (left + wide, 0.25), (left, 0.25)],
            cover,
            0.006,
        )
        left += wide + 0.002
    picture = np.clip(bgr, 0, 255).astype(np.uint8)
    place(picture, sprite, (0, 0), width)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.0), np.uint8)


def desk(picture: Picture) -> None:
    """Draw a desk along the lower edge."""
    sprite = Sprite((0, 0, 1, 0.2), picture.shape[1])
    sprite.fill([(-0.1, 0.0), (1.1, 0.0), (1.1, 0.3), (-0.1, 0.3)], (88, 124, 164), 0.03)
    sprite.fill([(0.1, 0.035), (0.24, 0.03), (0.25, 0.06), (0.09, 0.065)], (225, 228, 230), 0.004)
    place(picture, sprite, (0, picture.shape[0] * 0.9), picture.shape[1])


def plant(picture: Picture, rng: np.random.Generator) -> None:
    """Draw a plant in a pot."""
    sprite = Sprite((-2.3, -2.6, 2.3, 1), 90)
    for angle in rng.uniform(-1.15, 1.15, 26):
        reach = rng.uniform(0.9, 2.2)
        tip = (np.sin(angle) * reach, -np.cos(angle) * reach)
        green: Colour = (rng.uniform(40, 70), rng.uniform(90, 150), rng.uniform(40, 80))
        sprite.fill(oval(tip[0] / 2, tip[1] / 2, 0.12, reach / 2, angle), green, 0.05)
    sprite.fill([(-0.45, -0.1), (0.45, -0.1), (0.34, 0.8), (-0.34, 0.8)], (64, 92, 160), 0.12)
    place(picture, sprite, (320, 350), 90)


def coat(picture: Picture) -> None:
    """Draw a coat that hangs on a hook."""
    sprite = Sprite((-1.2, -0.5, 1.2, 3.6), 100)
    for side in (-1, 1):
        sleeve = [(0.4, 0.15), (0.78, 0.5), (0.95, 2.1), (0.66, 2.2), (0.5, 1.0)]
        sprite.fill(smooth(np.asarray(sleeve) * (side, 1)), (62, 58, 54), 0.1)
    body = [
        (-0.16, 0.0),
        (0.16, 0.0),
        (0.74, 0.2),
        (0.62, 1.4),
        (0.78, 3.3),
        (-0.78, 3.3),
        (-0.62, 1.4),
        (-0.74, 0.2),
    ]
    sprite.fill(smooth(body, 2), (74, 68, 62), 0.2)
    sprite.line([(0.0, 0.2), (0.03, 1.6), (0.0, 3.2)], (38, 36, 34), 0.05)
    sprite.fill(oval(0, -0.02, 0.07, 0.09), (40, 46, 52), 0.03)
    place(picture, sprite, (320, 110), 100)


def poster(picture: Picture, figure: Figure) -> None:
    """Hang a framed portrait on the wall."""
    corner, size_wh = (262, 60), (124, 158)
    inner = np.full((size_wh[1], size_wh[0], 3), (150, 128, 96), np.uint8)
    place(inner, sprite_of(figure), (size_wh[0] / 2, 66), 62)
    x, y = corner
    picture[y - 6 : y + size_wh[1] + 6, x - 6 : x + size_wh[0] + 6] = (48, 60, 72)
    picture[y : y + size_wh[1], x : x + size_wh[0]] = inner
