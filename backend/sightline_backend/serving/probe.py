"""A frame of our own, to see whether an engine that had nothing to do still answers."""

from __future__ import annotations

import asyncio
import math
import time

import numpy as np

from sightline_backend.batch import Done, Work
from sightline_backend.batcher import Batcher
from sightline_backend.errors import Refused
from sightline_engines.pipeline import default_options

LIMIT_S = 10.0  # also on a device that is busy with others' frames


async def answers(batcher: Batcher) -> bool:
    """Tell whether a frame is answered; it counts as nobody's."""
    width, height = batcher.spec.input_size_wh
    picture = np.zeros((height, width, 3), np.uint8)
    work = Work(picture, default_options(batcher.spec), time.monotonic(), math.inf)
    try:
        async with asyncio.timeout(LIMIT_S):
            return isinstance(await batcher.enqueue(work, counted=False), Done)
    except (Refused, TimeoutError):
        return False
