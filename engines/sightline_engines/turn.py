"""Turn pictures upright, as EXIF and video files ask for it."""

from __future__ import annotations

from typing import cast

import cv2

from sightline_engines.types import Image

_CLOCKWISE = {
    1: cv2.ROTATE_90_CLOCKWISE,
    2: cv2.ROTATE_180,
    3: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_EXIF = {  # orientation -> mirrored left to right first?, then quarter turns clockwise
    2: (True, 0),
    3: (False, 2),
    4: (True, 2),
    5: (True, 3),
    6: (False, 1),
    7: (True, 1),
    8: (False, 3),
}


def turn(image: Image, quarters: int) -> Image:
    """Turn a picture clockwise by quarter turns."""
    quarters %= 4
    return cast(Image, cv2.rotate(image, _CLOCKWISE[quarters])) if quarters else image


def upright(image: Image, orientation: int) -> Image:
    """Turn and mirror a picture as its EXIF orientation 1..8 asks."""
    mirrored, quarters = _EXIF.get(orientation, (False, 0))
    return turn(cast(Image, cv2.flip(image, 1)) if mirrored else image, quarters)


def upright_size(size_wh: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return the size a picture has once it is turned as its EXIF orientation 1..8 asks."""
    _, quarters = _EXIF.get(orientation, (False, 0))
    return (size_wh[1], size_wh[0]) if quarters % 2 else size_wh
