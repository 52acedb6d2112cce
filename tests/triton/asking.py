"""What the Python steps are asked, without a Triton."""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline_engines.triton.steps.names import FACTS, IMAGE_BYTES, PROBLEM
from sightline_engines.triton.steps.step import PictureFacts, Request

LEFT_HALF = (0.0, 0.0, 32.0, 48.0, 0.9, 0.0)
RIGHT_HALF = (32.0, 0.0, 64.0, 48.0, 0.4, 1.0)


def asked(*pictures: bytes) -> Request:
    return Request({IMAGE_BYTES: np.array([[data] for data in pictures], np.object_)}, {})


def raw(facts: PictureFacts, problem: str = "", **parameters: Any) -> Request:
    rows = np.array([[LEFT_HALF, RIGHT_HALF]], np.float32)
    beside = {FACTS: np.array([facts.row()]), PROBLEM: np.array([[problem.encode()]], np.object_)}
    return Request({"raw": rows, **beside}, parameters)
