"""Pictures -> one letterboxed uint8 batch; the rest of the normalisation is in the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from sightline_engines.types import Batch, Image, Letterbox, ModelSpec, Tensor


def preprocess(
    images: Sequence[Image], spec: ModelSpec, sizes_wh: Sequence[tuple[int, int]] | None = None
) -> Batch:
    """Letterbox pictures into a new (N, h, w, 3) tensor.

    `sizes_wh` are the sources' sizes where pictures were decoded smaller (`decode_frame`):
    the letterboxes are those of the sources.

    Each picture is resized straight into its place in the tensor. A new tensor a call is as
    fast as a kept one (the allocator hands the same pages back) and can't be overwritten
    while an engine still reads it.
    """
    width, height = spec.input_size_wh
    tensor = np.empty((len(images), height, width, 3), np.uint8)
    centre, pad = spec.preprocess.letterbox == "centre", spec.preprocess.pad
    sources = [None] * len(images) if sizes_wh is None else sizes_wh
    boxes = tuple(
        letterbox_into(place, image, centre, pad, source)
        for place, image, source in zip(tensor, images, sources, strict=True)
    )
    return Batch(tensor, boxes)


def fitted(image: Image, spec: ModelSpec) -> Image:
    """Return a picture in the size at which the model will see it, without the border.

    With the source's size beside it, `preprocess` makes of it what it makes of the source.
    """
    batch = preprocess([image], spec)
    box = batch.letterboxes[0]
    right = box.pad_x + round(box.scale_x * box.width)
    bottom = box.pad_y + round(box.scale_y * box.height)
    return batch.tensor[0, box.pad_y : bottom, box.pad_x : right].copy()


def letterbox_into(
    out: Tensor, image: Image, centre: bool, pad: int, source_wh: tuple[int, int] | None = None
) -> Letterbox:
    """Resize a picture into `out` (h, w, 3), keeping its shape, and fill the border with grey.

    `source_wh` is the size that the picture had before it was reduced; boxes map to it.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(
            f"a picture is uint8 (height, width, 3) BGR, got {image.dtype} {image.shape}"
        )
    width, height = source_wh or (image.shape[1], image.shape[0])
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
    if place.shape == image.shape:
        place[:] = image
    else:
        # Linear, as all four families were trained, although it aliases on large reductions.
        # A picture decoded smaller is smooth already: cubic keeps it as sharp (measured).
        whole_picture = image.shape[:2] == (height, width)
        how = cv2.INTER_LINEAR if whole_picture else cv2.INTER_CUBIC
        cv2.resize(image, (new_width, new_height), dst=place, interpolation=how)
    out[:top] = pad
    out[bottom:] = pad
    out[top:bottom, :left] = pad
    out[top:bottom, right:] = pad
    return Letterbox(new_width / width, new_height / height, left, top, width, height)
