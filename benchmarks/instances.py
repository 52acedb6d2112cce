"""Measure the bare engine on ready tensors: one instance of n threads, or n of one.

    python -m benchmarks.instances       # the table, and benchmarks/out/instances.md

Each instance is a process with its own model, as the server's workers are; pinned, each keeps
to a core of its own. All instances of a row run at once, rows take turns, and what is told is the
median of the rounds. CPU is how many cores a row kept busy.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from sightline_engines.assets import SHIPPED_NAME, shipped_model
from sightline_engines.load import load_engine
from sightline_engines.recognise import recognise

Name: TypeAlias = Literal["openvino", "onnxruntime"]
ENGINES: tuple[Name, ...] = ("openvino", "onnxruntime")
MORE_WEIGHTS = "weights/yolov8n_int8.onnx"
_Run: TypeAlias = tuple[list[float], float, float]  # seconds of each picture, wall, CPU seconds


@dataclass(frozen=True, slots=True)
class Setup:
    """How the cores are shared out."""

    instances: int
    threads: int
    pinned: bool = False

    def __str__(self) -> str:
        text = f"{self.instances} x {self.threads}"
        return f"{text}, pinned" if self.pinned else text


@dataclass(slots=True)
class Figures:
    """One setup's rounds."""

    rates: list[float] = field(default_factory=list)  # pictures a second, all instances
    p50_ms: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def main() -> None:
    """Read the command line, measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each row in each round")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/out"))
    asked = parser.parse_args()
    more = asked.data / MORE_WEIGHTS
    models = {SHIPPED_NAME: shipped_model()} | ({more.stem: more} if more.is_file() else {})
    lines = [
        "| model | engine | instances x threads | pictures/s | p50, ms | CPU |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for model, path in models.items():
        for engine in ENGINES:
            figures = measure(path, engine, asked.rounds, asked.seconds)
            for setup, found in figures.items():
                rate, p50, cpu = map(statistics.median, (found.rates, found.p50_ms, found.cpu))
                lines.append(
                    f"| {model} | {engine} | {setup} | {rate:.1f} | {p50:.1f} | {cpu:.2f} |"
                )
    text = "\n".join(lines) + "\n"
    print(text)
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "instances.md").write_text(text)


def own_cores() -> list[int]:
    """Return the cores that this process may use; where none can be named, their count."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def setups(cores: Sequence[int]) -> list[Setup]:
    """Return the ways to share cores out that are worth comparing."""
    count = len(cores)
    found = [Setup(1, count)]
    if count > 1:
        found.append(Setup(count, 1))
    if hasattr(os, "sched_setaffinity"):
        found.append(Setup(count, 1, pinned=True))
    return found


def measure(path: Path, engine: Name, rounds: int, seconds: float) -> dict[Setup, Figures]:
    """Load every setup once, then let them run in turns while the others wait."""
    with loaded(path, engine) as waiting:
        figures = {setup: Figures() for setup in waiting}
        for turn in range(rounds + 1):
            for setup, instances in waiting.items():
                for instance in instances:
                    instance.send(seconds)
                runs: list[_Run] = [instance.recv() for instance in instances]
                if turn:  # the first round warms up
                    _note(figures[setup], runs)
    return figures


def _note(figures: Figures, runs: Sequence[_Run]) -> None:
    figures.rates.append(sum(len(times) / wall for times, wall, _ in runs))
    figures.p50_ms.append(statistics.median(t for times, _, _ in runs for t in times) * 1e3)
    figures.cpu.append(sum(cpu / wall for _, wall, cpu in runs))


@contextmanager
def loaded(path: Path, engine: Name) -> Iterator[dict[Setup, list[Connection]]]:
    """Start each setup's processes and wait until all are warm; stop them in the end."""
    context = multiprocessing.get_context("spawn")
    cores = own_cores()
    waiting: dict[Setup, list[Connection]] = {setup: [] for setup in setups(cores)}
    processes = []
    try:
        for setup, instances in waiting.items():
            for number in range(setup.instances):
                here, there = context.Pipe()
                core = cores[number] if setup.pinned else None
                process = context.Process(
                    target=_instance, args=(there, path, engine, setup.threads, core), daemon=True
                )
                process.start()
                there.close()
                processes.append(process)
                instances.append(here)
        for instances in waiting.values():
            for instance in instances:
                instance.recv()
        yield waiting
    finally:
        for instances in waiting.values():
            for instance in instances:
                instance.close()
        for process in processes:
            process.join()


def _instance(asked: Connection, path: Path, name: Name, threads: int, core: int | None) -> None:
    """Run one engine for as many seconds as are asked for, until nobody asks any more."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    spec = recognise(path)
    engine = load_engine(spec, name, device="cpu", threads=threads)
    width, height = spec.input_size_wh
    tensor = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
    asked.send(None)
    while True:
        try:
            seconds: float = asked.recv()
        except EOFError:
            break
        asked.send(_run(lambda: engine.infer(tensor), seconds))
    engine.close()


def _run(infer: Callable[[], object], seconds: float) -> _Run:
    times: list[float] = []
    started, used = time.perf_counter(), time.process_time()
    now = started
    while now - started < seconds:
        infer()
        ended = time.perf_counter()
        times.append(ended - now)
        now = ended
    return times, now - started, time.process_time() - used


if __name__ == "__main__":
    main()
