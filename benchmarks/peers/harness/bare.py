"""The bare loop: decode, letterbox, ONNX Runtime and NMS, one frame after another.

Run as a program on a core of its own, it prints what a frame takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.peers.yolo import Detector

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Bare:
    """What a frame takes in the loop, and how many boxes the first one has."""

    p50_ms: float
    p99_ms: float
    fps: float
    boxes: int


def measure_bare(model: Path, frames: Path, core: int, seconds: float) -> Bare:
    """Run the loop on a core for a while, in a process of its own."""
    command = ["taskset", "-c", str(core), sys.executable, "-m", "benchmarks.peers.harness.bare"]
    command += [str(model), str(frames), str(seconds)]
    one_thread = ["/usr/bin/env", "OMP_NUM_THREADS=1", *command]
    done = subprocess.run(one_thread, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Bare(**json.loads(done.stdout))


def main() -> None:
    """Loop for the seconds asked for and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("frames", type=Path, help="folder of JPEGs")
    parser.add_argument("seconds", type=float)
    asked = parser.parse_args()
    jpegs = [file.read_bytes() for file in sorted(asked.frames.glob("*.jpg"))]
    detector = Detector(asked.model)
    first = len(detector.answer([jpegs[0]])[0]["detections"])
    times: list[float] = []
    end_s = time.perf_counter() + asked.seconds
    while time.perf_counter() < end_s or len(times) < 10:
        start_s = time.perf_counter()
        json.dumps(detector.answer([jpegs[len(times) % len(jpegs)]])[0])
        times.append(time.perf_counter() - start_s)
    ordered = sorted(times)
    p99_s = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    p50_ms = statistics.median(times) * 1e3
    print(json.dumps(asdict(Bare(p50_ms, p99_s * 1e3, len(times) / sum(times), first))))


if __name__ == "__main__":
    main()
