"""Engines of one name that differ by their files, and cameras that never stop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sightline_engines import wire
from sightline_engines.types import ModelSpec, Result
from tests.backend.camera import PICTURE, Camera
from tests.fakes import SPEC, FakeEngine, FakeModels, named


def file_of(path: str, name: str = "fake", labels: tuple[str, ...] = SPEC.labels) -> ModelSpec:
    """Return the fake's spec as another file, which its version names."""
    return replace(named(name, labels), path=Path(path), version=path)


class FilesOfModels(FakeModels):
    """A store whose engines are told apart by file; `list` has the first of each name."""

    def __init__(self, engines: Sequence[FakeEngine]) -> None:
        super().__init__(list(reversed(engines)))
        self.engines = dict(reversed(self.engines.items()))
        self.files = {engine.spec.path: engine for engine in engines}
        self.broken_files: dict[Path, Exception] = {}

    def load(self, spec: ModelSpec) -> FakeEngine:
        """Return a file's engine, or fail as it is set to."""
        self.loads = (*self.loads, str(spec.path))
        self.go.wait()
        if spec.path in self.broken_files:
            raise self.broken_files[spec.path]
        return self.files[spec.path]


async def film(camera: Camera, ends: Counter[str], enough: asyncio.Event) -> None:
    """Send a frame after each end until there were enough; count the ends by kind.

    None is superseded so: each must be answered, whatever happens meanwhile.
    """
    seq = 0
    while not enough.is_set():
        seq += 1
        await camera.send(seq, PICTURE)
        message = await camera.recv()
        assert isinstance(message, Result | wire.Dropped | wire.Failure)
        assert message.seq == seq, "a second end of a frame"
        match message:
            case Result():
                ends[message.model.version] += 1
            case wire.Dropped(reason=reason):
                ends[reason] += 1
            case wire.Failure(code=code):
                ends[code] += 1
