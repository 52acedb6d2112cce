"""The work that is the same for every peer without a detector of its own: JPEG -> boxes.

Letterbox, ONNX Runtime on one thread, and NMS, for models laid out as YOLOv8 exports are:
input [N, 3, h, w] RGB 0..1, output [N, 4 + classes, boxes]. Written for itself, so that it
runs in a peer's environment; a test holds it to the boxes of Sightline's own engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

CONF, IOU, MOST = 0.25, 0.45, 300
GREY = (114, 114, 114)

Picture = NDArray[np.uint8]  # (height, width, 3) BGR
Answer = dict[str, Any]  # what goes out as JSON


class Detector:
    """One session; may be called from several threads, since ONNX Runtime may."""

    def __init__(self, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        port = self._session.get_inputs()[0]
        self._input = port.name
        self._one_by_one = port.shape[0] == 1  # a file that was exported for a batch of one
        self.size_wh = (int(port.shape[3]), int(port.shape[2]))
        self.detect([np.zeros((*self.size_wh[::-1], 3), np.uint8)])  # the first run allocates

    def answer(self, jpegs: Sequence[bytes]) -> list[Answer]:
        """Return each JPEG's boxes, ready for JSON."""
        return self.detect([decode(jpeg) for jpeg in jpegs])

    def detect(self, pictures: Sequence[Picture]) -> list[Answer]:
        """Return each picture's boxes; in one run where the file takes batches."""
        blobs, places = zip(*(letterbox(p, self.size_wh) for p in pictures), strict=True)
        if self._one_by_one:
            outputs = [self._run(blob)[0] for blob in blobs]
        else:
            outputs = list(self._run(np.concatenate(blobs)))
        return [
            boxes(output, place, picture)
            for output, place, picture in zip(outputs, places, pictures, strict=True)
        ]

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._session.run(None, {self._input: batch})[0]
        return found


def decode(jpeg: bytes) -> Picture:
    """Return a JPEG's picture; raises ValueError for anything else."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{len(jpeg)} bytes are no picture that OpenCV reads.")
    return np.asarray(picture, np.uint8)


def letterbox(
    picture: Picture, size_wh: tuple[int, int]
) -> tuple[NDArray[np.float32], tuple[float, float, int, int]]:
    """Return (1, 3, h, w) RGB 0..1 and how it came about: scales x, y and borders x, y."""
    height, width = picture.shape[:2]
    ratio = min(size_wh[0] / width, size_wh[1] / height)
    new_wh = (round(width * ratio), round(height * ratio))
    left, top = (size_wh[0] - new_wh[0]) // 2, (size_wh[1] - new_wh[1]) // 2
    right, bottom = size_wh[0] - new_wh[0] - left, size_wh[1] - new_wh[1] - top
    small = cv2.resize(picture, new_wh, interpolation=cv2.INTER_LINEAR)
    framed = cv2.copyMakeBorder(small, top, bottom, left, right, cv2.BORDER_CONSTANT, value=GREY)
    blob = cv2.dnn.blobFromImage(framed, 1 / 255, swapRB=True)
    place = (new_wh[0] / width, new_wh[1] / height, left, top)
    return np.asarray(blob, np.float32), place


def boxes(
    output: NDArray[np.float32], place: tuple[float, float, int, int], picture: Picture
) -> Answer:
    """Return what is left of one picture's (4 + classes, boxes) after threshold and NMS."""
    best = output[4:].max(axis=0)
    index = np.flatnonzero(best >= CONF)
    class_id = output[4:, index].argmax(axis=0)
    x, y, width, height = output[:4, index].astype(np.float64)
    corners = np.stack((x - width / 2, y - height / 2, width, height), axis=1)
    kept: Sequence[int] = ()
    if len(index):
        # OpenCV tells classes apart by moving them, which holds only above zero
        shifted = corners - np.array([*corners[:, :2].min(axis=0), 0, 0])
        kept = cv2.dnn.NMSBoxesBatched(
            shifted.tolist(), best[index].tolist(), class_id.tolist(), CONF, IOU
        )
    limit = np.array([picture.shape[1], picture.shape[0]] * 2, np.float64)
    scale, border = np.array([*place[:2]] * 2), np.array([*place[2:]] * 2, np.float64)
    found = []
    for i in sorted(kept, key=lambda i: -best[index[i]])[:MOST]:
        box = corners[i].copy()
        box[2:] += box[:2]
        xyxy = np.clip((box - border) / scale, 0, limit)
        found.append(
            {
                "xyxy": [round(float(value), 2) for value in xyxy],
                "score": round(float(best[index[i]]), 4),
                "class_id": int(class_id[i]),
            }
        )
    return {"detections": found}
