"""Run any number of pictures through a model that takes a fixed or limited number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sightline_engines.types import RawOutput, Tensor


def run_in_chunks(
    run: Callable[[Tensor], RawOutput], tensor: Tensor, size: int, padded: bool
) -> RawOutput:
    """Call `run` with at most `size` pictures at a time and join what it returns.

    `padded`: the model takes exactly `size`; the last chunk is filled up with its last
    picture and the surplus answers are cut off.
    """
    parts: list[RawOutput] = []
    for start in range(0, len(tensor), size):
        chunk = tensor[start : start + size]
        count = len(chunk)
        if padded and count < size:
            chunk = np.concatenate((chunk, np.repeat(chunk[-1:], size - count, axis=0)))
        parts.append(tuple(output[:count] for output in run(chunk)))
    if len(parts) == 1:
        return parts[0]
    return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))
