"""What the engine and the decoder do without a server, each in a process of its own.

    python -m benchmarks.serving.baselines WHAT --frames FOLDER    # prints JSON

WHAT is engine (B0 and E*), loop (B1) or pictures (H*).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.serving.numbers import quantile
from sightline_backend.settings import Settings
from sightline_backend.store.store import open_store
from sightline_engines import wire
from sightline_engines.load import load_engine
from sightline_engines.picture import PictureLimits, decode_frame
from sightline_engines.pipeline import default_options, detect
from sightline_engines.preprocess import preprocess
from sightline_engines.types import Engine, ModelSpec, RawOutput, Result, Tensor, Timings

WARM_RUNS = 5
LIMITS = PictureLimits()
SIZES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast something went, over and over."""

    fps: float
    p50_ms: float  # of a run, whatever its batch
    p99_ms: float
    cpu_ms: float  # processor time a frame
    batch: int = 1


def main() -> int:
    """Measure one baseline and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.baselines")
    parser.add_argument("what", choices=("engine", "loop", "pictures"))
    parser.add_argument("--frames", type=Path, required=True, help="folder of JPEGs")
    parser.add_argument("--model", default="sightline-webcam")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    asked = parser.parse_args()
    settings = Settings()  # the engine and the device are those that the server would take
    spec = open_store(settings.models_dir).models.find(asked.model)
    jpegs = [path.read_bytes() for path in sorted(asked.frames.glob("*.jpg"))]
    match asked.what:
        case "engine":
            engine = _engine(spec, settings, asked.threads)
            paces = bare_engine(engine, jpegs, asked.seconds)
            served = asdict(engine.served)
            print(json.dumps({"served": served, "paces": [asdict(pace) for pace in paces]}))
        case "loop":
            print(
                json.dumps(
                    asdict(loop(_engine(spec, settings, asked.threads), jpegs, asked.seconds))
                )
            )
        case "pictures":
            print(json.dumps(asdict(pictures(spec, jpegs, asked.seconds))))
    return 0


def bare_engine(engine: Engine, jpegs: Sequence[bytes], seconds: float) -> list[Pace]:
    """Run ready tensors, at each batch size that the model takes; the first is B0."""
    decoded = [decode_frame(jpeg, LIMITS, engine.spec.input_size_wh) for jpeg in jpegs[:16]]
    ready = preprocess([d[0] for d in decoded], engine.spec, [d[1] for d in decoded]).tensor
    paces: list[Pace] = []
    for size in SIZES:
        if engine.spec.static_batch is not None and size != engine.spec.static_batch:
            continue
        paces.append(pace(_in_turn(engine, ready, size), seconds, size))
    return paces


def loop(engine: Engine, jpegs: Sequence[bytes], seconds: float) -> Pace:
    """Do all that a frame needs in one process, with nobody to send it to: B1."""
    spec, options = engine.spec, default_options(engine.spec)
    turns = cycle(jpegs)

    def one() -> None:
        image, size_wh = decode_frame(next(turns), LIMITS, spec.input_size_wh)
        found = detect(engine, [image], [options], [size_wh])[0][0]
        result = Result(1, 0, size_wh, found, Timings(), engine.served)
        wire.message_to_json(result, spec.labels)

    return pace(one, seconds)


def pictures(spec: ModelSpec, jpegs: Sequence[bytes], seconds: float) -> Pace:
    """Decode and letterbox alone: H*."""
    turns = cycle(jpegs)

    def one() -> None:
        image, size_wh = decode_frame(next(turns), LIMITS, spec.input_size_wh)
        preprocess([image], spec, [size_wh])

    return pace(one, seconds)


def pace(run: Callable[[], object], seconds: float, batch: int = 1) -> Pace:
    """Run something over and over for a time, warmed up before."""
    for _ in range(WARM_RUNS):
        run()
    cpu_s, started_s = time.process_time(), time.perf_counter()
    times = list(_times(run, started_s + seconds))
    cpu_s, wall_s = time.process_time() - cpu_s, sum(times)
    frames = len(times) * batch
    p50_ms, p99_ms = statistics.median(times) * 1e3, quantile(times, 0.99) * 1e3
    return Pace(frames / wall_s, p50_ms, p99_ms, cpu_s / frames * 1e3, batch)


def _engine(spec: ModelSpec, settings: Settings, threads: int) -> Engine:
    return load_engine(spec, settings.engine, device=settings.device, threads=threads)


def _times(run: Callable[[], object], until_s: float) -> Iterator[float]:
    ended_s = time.perf_counter()
    while ended_s < until_s:
        started_s = ended_s
        run()
        ended_s = time.perf_counter()
        yield ended_s - started_s


def _in_turn(engine: Engine, ready: Tensor, size: int) -> Callable[[], RawOutput]:
    stacks = [
        np.take(ready, range(start, start + size), axis=0, mode="wrap")
        for start in range(0, len(ready), size)
    ]
    turns = cycle(stacks)
    return lambda: engine.infer(next(turns))


if __name__ == "__main__":
    sys.exit(main())
