"""Whether one more stream fits, and at which rate: pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sightline_backend.errors import Refused
from sightline_backend.scheduler import LEAST_FPS, PROMISABLE

RETRY_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class RateWish:
    """The frames a second that a stream wants, and the least it can use; None: any."""

    fps: float | None = None
    min_fps: float | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What the engines sustain, and what of it the open streams are sure of."""

    capacity_fps: float
    reserved_fps: float
    elsewhere: float = 0.0  # the part of the device that other models' streams are sure of, 0..1


def admit(wish: RateWish, load: Load) -> float | None:
    """Return the rate that a stream is promised, None for a share of what is left.

    A stream that asks for more than there is gets what is left, if it can use as little.
    Raises Refused, which says what is left. A model's first stream that names no rate is always
    let in: on a machine too slow for it, late boxes are better than none.
    """
    left = (PROMISABLE - load.elsewhere) * load.capacity_fps - load.reserved_fps
    left = max(0.0, math.floor(left * 10 + 1e-6) / 10)  # sums of parts are off by the last digit
    if wish.fps is None:
        if not load.reserved_fps or left >= LEAST_FPS:
            return None
    elif max(wish.fps, LEAST_FPS) <= left:
        return wish.fps
    elif wish.min_fps is not None and max(wish.min_fps, LEAST_FPS) <= left:
        return left
    raise Refused(_no_room(wish, load, left), RETRY_AFTER_S, "rate")


def _no_room(wish: RateWish, load: Load, left: float) -> str:
    sustained = f"This engine sustains {load.capacity_fps:.3g} frames a second"
    if load.elsewhere > 0:
        sustained += " while no other model has work"
    if wish.fps is not None and left >= LEAST_FPS:
        return (
            f"{sustained}; {left:g} of them are free, not {wish.fps:g}. Ask for fps={left:g}, "
            "or name the least you can use as min_fps, or try again later."
        )
    return f"{sustained}, and the open streams need them all; try again later."
