"""A clip through the detector: pictures out over HTTP, an annotated clip back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sightline_engines import wire
from sightline_engines.clip import ClipInfo, ClipWriter, probe_clip, read_clip
from sightline_engines.draw import draw_detections
from sightline_engines.errors import ClipError
from sightline_engines.picture import encode_jpeg
from sightline_engines.types import Image, Result
from sightline_frontend.backend import Backend
from sightline_frontend.findings import Finding

IN_FLIGHT = 4  # pictures asked for at once: enough to fill the detector's batches
JPEG_QUALITY = 90

Progress = Callable[[int, int | None], None]  # pictures done, of how many if known


@dataclass(frozen=True, slots=True)
class ClipJob:
    """What to do with which clip; `labels` name the classes of the model in `settings`."""

    name: str
    source: Path
    target: Path
    settings: wire.Settings
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ClipRun:
    """What was found, a picture after the other; `broken` says why it ends early, if it does."""

    findings: list[Finding]
    broken: str | None = None


def run_clip(job: ClipJob, backend: Backend, progress: Progress) -> ClipRun:
    """Write the annotated clip and return what was found; raises ClipError, BackendError.

    Holds a few pictures at a time, however long the clip is. What a damaged clip gives before
    it breaks off is kept.
    """
    info = probe_clip(job.source)
    size_wh = (info.width, info.height)
    findings: list[Finding] = []
    waiting: deque[tuple[Image, Future[Result]]] = deque()
    broken: str | None = None

    def finish_one(writer: ClipWriter) -> None:
        image, answer = waiting.popleft()
        finding = _finding(job, info, len(findings), answer.result())
        writer.write(draw_detections(image, finding.detections, job.labels))
        findings.append(finding)
        progress(len(findings), info.frames)

    with (
        ClipWriter(job.target, size_wh, info.fps) as writer,
        ThreadPoolExecutor(IN_FLIGHT) as pool,
    ):
        try:
            for picture in read_clip(job.source):
                image = _of_size(picture, size_wh)
                jpeg = encode_jpeg(image, JPEG_QUALITY)
                waiting.append((image, pool.submit(backend.detect, jpeg, job.settings)))
                if len(waiting) >= IN_FLIGHT:
                    finish_one(writer)
        except ClipError as error:
            if not waiting:  # it broke off before its first picture
                raise
            broken = error.message
        while waiting:
            finish_one(writer)
    return ClipRun(findings, broken)


def _finding(job: ClipJob, info: ClipInfo, index: int, result: Result) -> Finding:
    return Finding(
        file=job.name,
        size_wh=result.size_wh,
        detections=result.detections,
        labels=job.labels,
        model=result.model,
        time_s=index / info.fps,
    )


def _of_size(image: Image, size_wh: tuple[int, int]) -> Image:
    """Return the picture at the clip's size: some cameras change it on the way."""
    if image.shape[1::-1] == size_wh:
        return image
    return cv2.resize(image, size_wh).astype(np.uint8, copy=False)
