"""Pictures -> one letterboxed uint8 batch; the rest of the normalisation is in the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from sightline_engines.types import Batch, Image, Letterbox, ModelSpec, Tensor


def preprocess(images: Sequence[Image], spec: ModelSpec) -> Batch:
    """Letterbox pictures into a new (N, h, w, 3) tensor.

    Each picture is resized straight into its place in the tensor. A new tensor a call is as
    fast as a kept one (the allocator hands the same pages back) and can't be overwritten
    while an engine still reads it.
    """
    width, height = spec.input_size_wh
    tensor = np.empty((len(images), height, width, 3), np.uint8)
    boxes = tuple(
        letterbox_into(tensor[i], image, spec.preprocess.letterbox == "centre", spec.preprocess.pad)
        for i, image in enumerate(images)
    )
    return Batch(tensor, boxes)


def letterbox_into(out: Tensor, image: Image, centre: bool, pad: int) -> Letterbox:
    """Resize a picture into `out` (h, w, 3), keeping its shape, and fill the border with grey."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(
            f"a picture is uint8 (height, width, 3) BGR, got {image.dtype} {image.shape}"
        )
    height, width = image.shape[:2]
    out_height, out_width = out.shape[:2]
    ratio = min(out_width / width, out_height / height)
    # YOLOX, top left, cuts to whole pixels; Ultralytics, centred, rounds. It moves boxes by pixels.
    whole: Callable[[float], int] = round if centre else int
    new_width = min(max(whole(width * ratio), 1), out_width)
    new_height = min(max(whole(height * ratio), 1), out_height)
    left = (out_width - new_width) // 2 if centre else 0
    top = (out_height - new_height) // 2 if centre else 0
    right, bottom = left + new_width, top + new_height
    place = out[top:bottom, left:right]
    if (new_width, new_height) == (width, height):
        place[:] = image
    else:
        # Linear, as all four families were trained, although it aliases on large reductions.
        cv2.resize(image, (new_width, new_height), dst=place, interpolation=cv2.INTER_LINEAR)
    out[:top] = pad
    out[bottom:] = pad
    out[top:bottom, :left] = pad
    out[top:bottom, right:] = pad
    return Letterbox(new_width / width, new_height / height, left, top, width, height)
