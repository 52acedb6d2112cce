"""Sprites: shaded, anti-aliased shapes with an alpha channel, to be placed on a picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline_training.boxes import Array
from sightline_training.samples import Picture

Colour = tuple[float, float, float]  # BGR, 0 to 255
Points = Sequence[tuple[float, float]] | NDArray[np.float64]  # in units of the sprite

_BITS = 4  # of a pixel, that the outlines are drawn to
_LIGHT = (-0.6, -0.8)  # where it comes from: the top left


class Sprite:
    """A drawing on nothing; x and y count in units of `px` pixels from the origin."""

    def __init__(self, xyxy: tuple[float, float, float, float], px: float) -> None:
        self.px = px
        self.origin = (-xyxy[0], -xyxy[1])
        width, height = (max(1, round(d * px)) for d in (xyxy[2] - xyxy[0], xyxy[3] - xyxy[1]))
        self.bgr = np.zeros((height, width, 3), np.float32)
        self.alpha = np.zeros((height, width), np.float32)

    def fill(
        self,
        points: Points,
        colour: Colour,
        relief: float = 0.0,
        soft: float = 0.0,
        opacity: float = 1,
    ) -> None:
        """Fill a closed outline.

        `relief` is how round it is shaded and `soft` how blurred its edge, both in units; what is
        soft or not opaque only tints what lies below.
        """
        outline = (np.asarray(points, np.float64) + self.origin) * self.px
        margin = 3 * max(relief, soft) * self.px + 2  # as far as a blur reaches
        corner = np.maximum(0, np.floor(outline.min(0) - margin)).astype(int)
        window = np.s_[
            corner[1] : max(0, int(outline[:, 1].max() + margin)),
            corner[0] : max(0, int(outline[:, 0].max() + margin)),
        ]
        bgr, alpha = self.bgr[window], self.alpha[window]
        if not alpha.size:
            return
        cover = np.zeros(alpha.shape, np.uint8)
        pixels = np.rint((outline - corner) * (1 << _BITS)).astype(np.int32)
        cv2.fillPoly(cover, [pixels], 255, cv2.LINE_AA, _BITS)
        mask = np.asarray(cover / 255, np.float32)
        paint: Array = np.broadcast_to(np.asarray(colour, np.float32), bgr.shape)
        if relief:
            paint = np.asarray(paint * _shade(mask, relief * self.px)[..., None], np.float32)
        if soft:
            mask = _blurred(mask, soft * self.px)
        tint = soft > 0 or opacity < 1
        over = mask * opacity * (alpha if tint else 1)
        bgr += (paint - bgr) * over[..., None]
        if not tint:
            np.maximum(alpha, mask, out=alpha)

    def line(self, points: Points, colour: Colour, width: float, opacity: float = 1) -> None:
        """Draw a thick line that ends in points, as brows and folds do."""
        path = np.asarray(points, np.float64)
        along = np.gradient(path, axis=0)
        normal = along[:, ::-1] * (1, -1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
        half = normal * width / 2 * np.sin(np.linspace(0.35, np.pi - 0.2, len(path)))[:, None]
        self.fill(np.concatenate((path + half, (path - half)[::-1])), colour, opacity=opacity)


def place(picture: Picture, sprite: Sprite, xy: tuple[float, float], px: float) -> Array:
    """Put the sprite's origin at xy with units of px pixels; return the picture's coverage."""
    left, top = xy[0] - sprite.origin[0] * px, xy[1] - sprite.origin[1] * px
    return _lay(picture, sprite, (px / sprite.px, px / sprite.px), (left, top))


def fit(picture: Picture, sprite: Sprite, xyxy: Array) -> Array:
    """Stretch what the sprite shows to a box; return the picture's coverage."""
    rows, columns = np.flatnonzero(sprite.alpha.any(1)), np.flatnonzero(sprite.alpha.any(0))
    wide = float(xyxy[2] - xyxy[0]) / (columns[-1] + 1 - columns[0])
    tall = float(xyxy[3] - xyxy[1]) / (rows[-1] + 1 - rows[0])
    corner = float(xyxy[0]) - columns[0] * wide, float(xyxy[1]) - rows[0] * tall
    return _lay(picture, sprite, (wide, tall), corner)


def _lay(
    picture: Picture, sprite: Sprite, scale: tuple[float, float], corner: tuple[float, float]
) -> Array:
    move = np.asarray([[scale[0], 0, corner[0]], [0, scale[1], corner[1]]])
    colour, alpha = sprite.bgr * sprite.alpha[..., None], sprite.alpha
    if min(scale) < 0.5:  # smooth first, as a lens does, or lines break into dots
        sigma = 0.35 / min(scale)
        colour, alpha = _blurred(colour, sigma), _blurred(alpha, sigma)
    size = (picture.shape[1], picture.shape[0])
    over = cv2.warpAffine(alpha, move, size, flags=cv2.INTER_LINEAR)
    premultiplied = cv2.warpAffine(colour, move, size, flags=cv2.INTER_LINEAR)
    picture[:] = np.clip(picture * (1 - over[..., None]) + premultiplied, 0, 255)
    return np.asarray(over, np.float32)


def oval(x: float, y: float, rx: float, ry: float, tilt: float = 0.0) -> NDArray[np.float64]:
    """Outline an ellipse, tilted by radians."""
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    dx, dy = rx * np.cos(turn), ry * np.sin(turn)
    cos, sin = np.cos(tilt), np.sin(tilt)
    return np.stack((x + dx * cos - dy * sin, y + dx * sin + dy * cos), 1)


def smooth(points: Points, rounds: int = 3) -> NDArray[np.float64]:
    """Round a closed outline by cutting its corners."""
    outline = np.asarray(points, np.float64)
    for _ in range(rounds):
        following = np.roll(outline, -1, 0)
        outline = np.stack(
            (outline * 0.75 + following * 0.25, outline * 0.25 + following * 0.75), 1
        )
        outline = outline.reshape(-1, 2)
    return outline


def both(points: Points) -> NDArray[np.float64]:
    """Complete the right half of an outline by its mirror image."""
    half = np.asarray(points, np.float64)
    return np.concatenate((half, half[::-1] * (-1, 1)))


def _blurred(plane: Array, sigma: float) -> Array:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), max(0.3, sigma)), np.float32)


def _shade(mask: Array, sigma: float) -> Array:
    """Light an outline as a cushion: bright where it falls towards the light."""
    height = _blurred(mask, sigma)
    slope_y, slope_x = np.gradient(height)
    lit = (slope_x * -_LIGHT[0] + slope_y * -_LIGHT[1]) * sigma
    return np.asarray(np.clip(1.02 + 1.3 * lit - 0.18 * (1 - height), 0.45, 1.35), np.float32)
