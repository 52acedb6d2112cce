"""What an engine takes, measured when it is loaded."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from sightline_backend.batch import Work
from sightline_backend.remote_batch import run_any
from sightline_backend.workers.runner import Measured
from sightline_engines.errors import EngineAwayError, EngineMemoryError
from sightline_engines.picture import PictureLimits, encode_jpeg
from sightline_engines.pipeline import DetectOptions, default_options, detect
from sightline_engines.triton.errors import ModelBusyError
from sightline_engines.triton.remote import RemoteEngine
from sightline_engines.types import Engine, Image

MEASURED_RUNS = 3
ASSUMED_S, ASSUMED_FRAME_S = 0.02, 0.01  # of an engine that can't be measured yet
FRAME_WH = (1280, 720)  # of the frame whose decoding is measured; larger than most cameras'


def measured(engine: Engine, up_to: int | None, limits: PictureLimits) -> Measured:
    """Return what `measure` finds, nothing without a size.

    For a server that is away, or has too much to do, it is a guess, which its first batches put
    right.
    """
    if up_to is None:
        return Measured()
    try:
        return measure(engine, up_to, limits)
    except (EngineAwayError, ModelBusyError):
        largest = min(up_to, engine.spec.static_batch or up_to)
        return Measured({n: ASSUMED_S + n * ASSUMED_FRAME_S for n in sizes_up_to(largest)})
    finally:
        _away(engine)  # what was sent for this is no call of a frame's


def measure(engine: Engine, max_batch: int, limits: PictureLimits) -> Measured:
    """Warm the engine up and return its median seconds by batch size: 1, 2, 4, …

    Ends with the largest that is allowed or that the model was exported for, sooner once
    two sizes gave no more frames per second, the device's memory is full or a batch was too slow
    for a server's deadline. Beside it, what it takes to decode a frame.
    """
    options = default_options(engine.spec)
    width, height = engine.spec.input_size_wh
    picture = np.full((height, width, 3), 114, np.uint8)
    largest = min(max_batch, engine.spec.static_batch or max_batch)
    # A server may be away once it was too slow for a batch; then nothing is decoded any more.
    frame_s = _decode_s(engine, options, limits) if isinstance(engine, RemoteEngine) else None
    _away(engine)
    batch_s: dict[int, float] = {}
    in_vain = 0
    for size in sizes_up_to(largest):
        try:
            seconds = _median_s(partial(_run, engine, picture, options, size))
        except (EngineMemoryError, EngineAwayError, ModelBusyError):
            if size == 1:
                raise
            break
        if _away(engine) and size > 1:  # a standby answered, after the deadline
            break
        batch_s[size] = seconds
        best_s = min(taken_s / n for n, taken_s in batch_s.items())
        in_vain = 0 if batch_s[size] / size == best_s else in_vain + 1
        if in_vain == 2:
            break
    if frame_s is None:
        frame_s = _decode_s(engine, options, limits)
    return Measured(batch_s, frame_s)


def sizes_up_to(largest: int) -> list[int]:
    """Return 1, 2, 4, … and the largest size itself."""
    powers = [2**n for n in range(largest.bit_length())]
    return powers if powers[-1] == largest else [*powers, largest]


def _away(engine: Engine) -> bool:
    """Tell whether a server has failed since the last time."""
    if not isinstance(engine, RemoteEngine):
        return False
    return any(call.result != "ok" for call in engine.take_calls())


def _decode_s(engine: Engine, options: DetectOptions, limits: PictureLimits) -> float:
    width, height = FRAME_WH
    ramp = np.add.outer(np.arange(height) * 3, np.arange(width) * 2) % 256
    frame = encode_jpeg(np.stack([ramp, ramp[:, ::-1], 255 - ramp], 2).astype(np.uint8), 85)
    work = Work(frame, options, time.monotonic(), math.inf)
    return statistics.median(run_any(engine, [work], limits).decode_s for _ in range(3))


def _run(engine: Engine, picture: Image, options: DetectOptions, size: int) -> None:
    detect(engine, [picture] * size, [options] * size)


def _median_s(run: Callable[[], None]) -> float:
    """Return the median of some runs, after one that doesn't count."""
    run()
    seconds = []
    for _ in range(MEASURED_RUNS):
        started_s = time.monotonic()
        run()
        seconds.append(time.monotonic() - started_s)
    return statistics.median(seconds)
