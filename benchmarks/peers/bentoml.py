# mypy: disable-error-code="import-not-found, misc, untyped-decorator"
"""BentoML: one service, pictures as multipart uploads.

default: `@bentoml.api` on a plain method, all options as they come.
limit: besides, at most two requests at once; more are refused (`max_concurrency`).
https://docs.bentoml.com/en/latest/reference/bentoml/configurations.html
batch: adaptive batching, which also sends away what would be later than the deadline
(`batchable`, `max_batch_size`, `max_latency_ms`).
https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bentoml

from benchmarks.peers.options import read_options
from benchmarks.peers.yolo import Answer, Detector

OPTIONS = read_options()
LIMITS: dict[str, Any] = {"max_concurrency": 2} if OPTIONS.setting == "limit" else {}
BATCHES = OPTIONS.setting == "batch"


@bentoml.service(name="peer", workers=1, **({"traffic": LIMITS} if LIMITS else {}))
class Service:
    """What `bentoml serve` runs in its worker process."""

    def __init__(self) -> None:
        self.detector = Detector(OPTIONS.model)

    if BATCHES:

        @bentoml.api(
            route="/detect",
            batchable=True,
            max_batch_size=4,
            max_latency_ms=round(OPTIONS.deadline_ms),
        )
        def detect(self, file: list[Path]) -> list[Answer]:
            """Return each JPEG's boxes."""
            return self.detector.answer([path.read_bytes() for path in file])

    else:

        @bentoml.api(route="/detect")
        def detect(self, file: Path) -> Answer:
            """Return a JPEG's boxes."""
            return self.detector.answer([file.read_bytes()])[0]
