"""Compare scheduling policies over the same arrivals, without an engine or a clock.

    python -m benchmarks.simulate            # the table and benchmarks/out/simulate.png

Cameras of unequal rates send to one engine. Each policy sees the same frames at the same
times; what differs is which frames it runs and in which batches. Goodput counts answers
that were in time, per second, over what the engine can do at its best batch size.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sightline_backend.batch_times import BatchTimes
from sightline_backend.scheduler import Scheduler

RATES = (60.0, 30.0, 15.0, 15.0, 5.0)  # frames a second, dealt out in turn
GPU = {1: 0.0040, 2: 0.0046, 4: 0.0060, 8: 0.0090, 16: 0.0160}  # seconds by batch size
CPU = {1: 0.020, 2: 0.039, 4: 0.077}
DEADLINE_S = 0.2
LOADS = (0.5, 0.8, 0.9, 1.0, 1.1, 1.5, 2.0, 4.0)


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """A frame reaches the server, `transit_s` after it was captured."""

    at_s: float
    stream: int
    captured_s: float


@dataclass(slots=True)
class Outcome:
    """What became of a run's frames."""

    offered: int = 0
    in_time: int = 0
    ages_s: list[float] = field(default_factory=list)
    by_stream: dict[int, int] = field(default_factory=dict)


class Policy(Protocol):
    """Holds waiting frames; `next` gives a batch, and a time to ask again if it is empty."""

    def offer(self, frame: Arrival) -> None: ...

    def next(self, now_s: float) -> tuple[list[Arrival], float | None]: ...

    def ran(self, batch: list[Arrival], seconds: float, now_s: float) -> None: ...


class Fifo:
    """What a plain queue in front of a batcher does: everything runs, in order."""

    def __init__(self, times: BatchTimes, streams: int) -> None:
        self._queue: deque[Arrival] = deque()
        self._largest = times.best_size()

    def offer(self, frame: Arrival) -> None:
        self._queue.append(frame)

    def next(self, now_s: float) -> tuple[list[Arrival], float | None]:
        return [self._queue.popleft() for _ in range(min(len(self._queue), self._largest))], None

    def ran(self, batch: list[Arrival], seconds: float, now_s: float) -> None:
        pass


class LatestOnly:
    """One slot a stream, the stream with the newest change first; no deadlines."""

    def __init__(self, times: BatchTimes, streams: int) -> None:
        self._slots: dict[int, Arrival] = {}
        self._largest = times.best_size()

    def offer(self, frame: Arrival) -> None:
        self._slots.pop(frame.stream, None)  # a newer frame goes to the end of the line
        self._slots[frame.stream] = frame

    def next(self, now_s: float) -> tuple[list[Arrival], float | None]:
        streams = list(self._slots)[: self._largest]
        return [self._slots.pop(stream) for stream in streams], None

    def ran(self, batch: list[Arrival], seconds: float, now_s: float) -> None:
        pass


class Sightline:
    """The scheduler that serves."""

    def __init__(self, times: BatchTimes, streams: int) -> None:
        self._scheduler: Scheduler[Arrival] = Scheduler(times, max_batch=64, max_uploads=0)
        for stream in range(streams):
            self._scheduler.open(stream)
        self._running: list[Arrival] = []

    def offer(self, frame: Arrival) -> None:
        self._scheduler.offer(frame.stream, frame, frame.captured_s + DEADLINE_S, frame.at_s)

    def next(self, now_s: float) -> tuple[list[Arrival], float | None]:
        self._decision = self._scheduler.next(now_s)
        return [ticket.item for ticket in self._decision.batch], self._decision.wake_s

    def ran(self, batch: list[Arrival], seconds: float, now_s: float) -> None:
        self._scheduler.ran(self._decision.batch, seconds, now_s)


POLICIES: dict[str, Callable[[BatchTimes, int], Policy]] = {
    "fifo": Fifo,
    "latest only": LatestOnly,
    "sightline": Sightline,
}


def arrivals(streams: int, seconds: float, seed: int) -> Iterator[Arrival]:
    """Yield frames in order of arrival: periodic capture, 5 to 25 ms on the way."""
    dice = random.Random(seed)
    capture = [(dice.random() / RATES[s % len(RATES)], s) for s in range(streams)]
    heapq.heapify(capture)
    on_the_way: list[Arrival] = []
    while capture:
        captured_s, stream = heapq.heappop(capture)
        while on_the_way and on_the_way[0].at_s <= captured_s:
            yield heapq.heappop(on_the_way)
        transit_s = dice.uniform(0.005, 0.025)
        heapq.heappush(on_the_way, Arrival(captured_s + transit_s, stream, captured_s))
        following_s = captured_s + 1 / RATES[stream % len(RATES)]
        if following_s < seconds:
            heapq.heappush(capture, (following_s, stream))
    yield from sorted(on_the_way)


def run(policy: Policy, times: Mapping[int, float], frames: Iterator[Arrival]) -> Outcome:
    """Play the frames to the policy in front of an engine that takes `times`."""
    engine, outcome = BatchTimes(times), Outcome()
    now_s, frame = 0.0, next(frames, None)
    while True:
        while frame is not None and frame.at_s <= now_s:
            policy.offer(frame)
            outcome.offered += 1
            frame = next(frames, None)
        batch, wake_s = policy.next(now_s)
        if batch:
            seconds = engine.mean(len(batch))
            now_s += seconds
            policy.ran(batch, seconds, now_s)
            _count(outcome, batch, now_s)
            continue
        coming = [t for t in (frame.at_s if frame else None, wake_s) if t is not None]
        if not coming:
            return outcome
        now_s = max(now_s, min(coming))


def _count(outcome: Outcome, batch: list[Arrival], now_s: float) -> None:
    for frame in batch:
        age_s = now_s - frame.captured_s
        outcome.ages_s.append(age_s)
        if age_s <= DEADLINE_S + 1e-9:
            outcome.in_time += 1
            outcome.by_stream[frame.stream] = outcome.by_stream.get(frame.stream, 0) + 1


def quantile(values: list[float], q: float) -> float:
    """Return the value that a share q of the values doesn't exceed; 0 for none."""
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] if values else 0.0


def streams_for(load: float, times: Mapping[int, float]) -> int:
    """Return how many cameras ask for `load` times what the engine can do."""
    return max(1, round(load * capacity(times) / (sum(RATES) / len(RATES))))


def capacity(times: Mapping[int, float]) -> float:
    """Return the engine's frames a second at its best batch size."""
    return max(size / seconds for size, seconds in times.items())


def main() -> None:
    """Print the table, and draw the plot where matplotlib is installed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--engine", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--speed", type=float, default=1.0, help="the engine is this much faster")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out/simulate.png"))
    options = parser.parse_args()
    base = GPU if options.engine == "gpu" else CPU
    times = {size: seconds / options.speed for size, seconds in base.items()}
    print("| load | streams | policy | goodput | age p50 ms | age p99 ms | least served |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in POLICIES}
    for load in LOADS:
        streams = streams_for(load, times)
        for name, make in POLICIES.items():
            policy = make(BatchTimes(times), streams)
            outcome = run(policy, times, arrivals(streams, options.seconds, seed=1))
            goodput = outcome.in_time / options.seconds / capacity(times)
            p50, p99 = quantile(outcome.ages_s, 0.5), quantile(outcome.ages_s, 0.99)
            least = min((outcome.by_stream.get(s, 0) for s in range(streams)), default=0)
            rows[name].append((load, goodput, p99))
            print(
                f"| {load} | {streams} | {name} | {goodput:.2f} | {p50 * 1e3:.0f} |"
                f" {p99 * 1e3:.0f} | {least / options.seconds:.1f} fps |"
            )
    _plot(rows, options.out)


def _plot(rows: dict[str, list[tuple[float, float, float]]], out: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    goodput, age = figure.subplots(1, 2)
    for name, points in rows.items():
        loads = [p[0] for p in points]
        goodput.plot(loads, [p[1] for p in points], marker="o", label=name)
        age.plot(loads, [p[2] * 1e3 for p in points], marker="o", label=name)
    goodput.set(xlabel="load / capacity", ylabel="answers in time / capacity", ylim=(0, 1.05))
    age.set(xlabel="load / capacity", ylabel="result age p99, ms", yscale="log")
    goodput.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main()
