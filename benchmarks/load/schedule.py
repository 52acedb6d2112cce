"""When each frame of each stream is due."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

NUMBERS = 1_000_000  # a stream's own range, so that an answer to another stream shows


def phases(rates: Sequence[float], seed: int) -> list[float]:
    """Return when each stream sends its first frame, in seconds: a share of its period."""
    dice = random.Random(seed)
    return [dice.random() / rate for rate in rates]


def due_times(rate: float, phase_s: float, seconds: float) -> Iterator[float]:
    """Yield the times of a periodic stream's frames below `seconds`.

    Counted from the first frame and not from the frame before, so that nothing adds up.
    """
    number = 0
    while (due_s := phase_s + number / rate) < seconds:
        yield due_s
        number += 1


def first_number(stream: int) -> int:
    """Return the sequence number of a stream's first frame."""
    return stream * NUMBERS


def stream_of(seq: int) -> int:
    """Return the stream that a sequence number belongs to."""
    return seq // NUMBERS
