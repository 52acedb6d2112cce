"""What a run of the benchmark is to do, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.frames import default_clip, jpegs
from benchmarks.load.spec import LoadSpec
from benchmarks.serving.cores import Cores

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 60
SIZE_WH = (1280, 720)
QUALITY = 85
GROUPS = ("M1", "M2", "M3", "M4", "M6", "M7", "M8", "M9", "M10", "jobs", "guards")


class BenchmarkError(RuntimeError):
    """A measurement that could not be made."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The choices of one run."""

    model: str
    only: frozenset[str]
    rounds: int
    seconds: float  # of each load
    warm_s: float
    growth_minutes: float  # 0: not measured
    soak_minutes: float  # 0: not measured
    file: Path  # of the model
    threads: int  # of the engine, in the server and in the baselines
    cores: Cores
    frames: Path  # folder of the JPEGs that the baselines read
    data: Path  # folder of the labelled pictures

    def load(
        self, url: str, streams: tuple[float, ...], deadline_ms: float, seed: int = 1
    ) -> LoadSpec:
        """Return a load on the server."""
        return LoadSpec(
            "sightline",
            url,
            streams,
            self.seconds,
            deadline_ms,
            warm_s=self.warm_s,
            clip=default_clip(),
            size_wh=SIZE_WH,
            quality=QUALITY,
            frames=FRAMES,
            core=self.cores.generator,
            seed=seed,
        )


def write_frames(folder: Path) -> float:
    """Write the pictures that the load generator sends; returns their mean size in bytes."""
    files = jpegs(default_clip(), SIZE_WH, QUALITY, FRAMES)
    for number, file in enumerate(files):
        (folder / f"{number:03}.jpg").write_bytes(file)
    return sum(len(file) for file in files) / len(files)
