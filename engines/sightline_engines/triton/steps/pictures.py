"""The first step: encoded pictures in, the network's input out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline_engines.errors import SightlineError
from sightline_engines.picture import PictureLimits, decode_picture, read_header
from sightline_engines.preprocess import letterbox_into
from sightline_engines.triton.steps.crop import fill, squash
from sightline_engines.triton.steps.names import FACTS, IMAGE_BYTES, PROBLEM
from sightline_engines.triton.steps.step import Answer, PictureFacts, Request, texts
from sightline_engines.types import Image, Tensor


class PictureStep:
    """Decodes the pictures of all requests of a batch side by side.

    A picture that can't be taken goes on as grey with its problem beside it: the last step
    answers with that, and the requests around it never notice.
    """

    inputs = (IMAGE_BYTES,)

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._tensor_name = str(spec["tensor"])
        self._size_wh = (int(spec["input_size_wh"][0]), int(spec["input_size_wh"][1]))
        self._fit, self._pad = str(spec["fit"]), int(spec["pad"])
        self._limits = PictureLimits(**spec["limits"])
        self._most_work = int(spec["max_scan_pixels"])
        cv2.setNumThreads(1)  # pictures run side by side; each by itself is too small to split
        threads = min(int(spec["threads"]), os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, "decode") if threads > 1 else None

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer a batch of requests, in their order."""
        counts = [request.arrays[IMAGE_BYTES].size for request in requests]
        pictures = [data for one in requests for data in one.arrays[IMAGE_BYTES].ravel()]
        width, height = self._size_wh
        tensor = np.empty((len(pictures), height, width, 3), np.uint8)
        run = self._pool.map if self._pool is not None and len(pictures) > 1 else map
        read = list(run(self._read, pictures, tensor))
        facts = np.array([fact.row() for fact, _ in read], np.float64)
        problems = texts([problem for _, problem in read])
        ends = np.cumsum(counts)
        return [
            {
                self._tensor_name: tensor[end - count : end],
                FACTS: facts[end - count : end],
                PROBLEM: problems[end - count : end],
            }
            for count, end in zip(counts, ends, strict=True)
        ]

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _read(self, data: bytes, place: Tensor) -> tuple[PictureFacts, str]:
        """Decode a picture into its place; return its facts and its problem, empty for none."""
        started = time.perf_counter()
        try:
            image = decode_picture(data, self._limits_for(data))
            decoded = time.perf_counter()
            box = self._place(image, place)
        except SightlineError as error:
            return self._refused(place, error.code, error.message)
        except Exception as error:  # whatever it is: the other pictures have done nothing
            return self._refused(place, "bad_picture", f"The picture can't be read: {error}")
        done = time.perf_counter()
        height, width = image.shape[:2]
        times = (decoded - started) * 1e3, (done - decoded) * 1e3
        return PictureFacts(*box, width, height, *times), ""

    def _limits_for(self, data: bytes) -> PictureLimits:
        """Return the limits for a picture: the larger a JPEG, the fewer scans it may have.

        A decoder goes over all of it for each scan, which everybody in its batch waits for.
        """
        header = read_header(data, self._limits)
        scans = max(1, self._most_work // (header.width * header.height))
        return replace(self._limits, max_scans=min(scans, self._limits.max_scans))

    def _place(self, image: Image, place: Tensor) -> tuple[float, float, float, float]:
        """Put a picture into the network's input; return its letterbox: scales and borders."""
        if self._fit == "squash":
            return squash(image, place)
        if self._fit == "crop":
            return fill(image, place)
        box = letterbox_into(place, image, self._fit == "centre", self._pad)
        return box.scale_x, box.scale_y, box.pad_x, box.pad_y

    def _refused(self, place: NDArray[np.uint8], code: str, said: str) -> tuple[PictureFacts, str]:
        place[:] = self._pad
        return PictureFacts(), json.dumps({"code": code, "message": said})
