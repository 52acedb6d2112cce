"""What was asked of `bench` and `sweep`, as the engines take it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline_backend.cli.console import fail, stderr

if TYPE_CHECKING:
    from sightline_engines.progress import Progress
    from sightline_engines.triton.bench.options import BenchOptions, Closed, Open
    from sightline_engines.triton.options import TritonOptions


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line, as it was typed."""

    concurrency: str
    rate: str
    poisson: bool
    batch: int
    pictures: tuple[Path, ...]
    shapes: tuple[str, ...]
    window_s: float
    tolerance: float
    most_windows: int
    warmup: int
    timeout_s: float
    processes: int
    most_in_flight: int = 64
    requests: int | None = None


def bench_options(model: str, triton: TritonOptions, asked: Asked) -> list[BenchOptions]:
    """Return a measurement for each load that was asked for; ends the program on what can't be."""
    from sightline_engines.triton.bench.options import BenchOptions, Count, Stable

    until = (
        Count(asked.requests)
        if asked.requests
        else Stable(asked.window_s, asked.tolerance, asked.most_windows)
    )
    return [
        BenchOptions(
            url=triton.url,
            model=model,
            protocol=triton.protocol,
            load=load,
            until=until,
            warmup_requests=asked.warmup,
            batch=asked.batch,
            shapes=dict(_shape(text) for text in asked.shapes),
            pictures=tuple(path.read_bytes() for path in asked.pictures),
            timeout_s=asked.timeout_s,
            processes=asked.processes,
        )
        for load in _loads(asked)
    ]


def numbers(option: str, text: str, least: int = 0) -> tuple[int, ...]:
    """Return whole numbers that stand between commas; ends the program on anything else."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() and int(word) >= least for word in words):
        fail(f"{option} {text!r} must be whole numbers of {least} or more, such as 1,2,4.")
    return tuple(dict.fromkeys(map(int, words)))


def preferred_sets(text: str) -> tuple[tuple[int, ...], ...]:
    """Return the sets of preferred batches of "any,4,4+8"."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    return tuple(
        ()
        if word in ("any", "0")
        else tuple(sorted(numbers("--preferred-batches", word.replace("+", ","), least=1)))
        for word in words or ["any"]
    )


def _loads(asked: Asked) -> list[Closed | Open]:
    from sightline_engines.triton.bench.options import Closed, Open

    if asked.rate and asked.concurrency:
        fail("--concurrency and --rate are two ways to load a server: give one of them.")
    if not asked.rate:
        wanted = numbers("--concurrency", asked.concurrency or "1", least=1)
        return [Closed(number) for number in wanted]
    arrivals: Any = "poisson" if asked.poisson else "constant"
    try:
        rates = [float(word) for word in asked.rate.split(",") if word.strip()]
        return [Open(rate, arrivals, asked.most_in_flight) for rate in rates]
    except ValueError:
        fail(f"--rate {asked.rate!r} must be numbers above 0, such as 50,100.")


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sides = text.rpartition(":")
    if not name:
        fail(f"--shape {text!r} must name the input: NAME:3,640,640.")
    return name, _sides(text, sides)


def _sides(text: str, sides: str) -> tuple[int, ...]:
    """Return a shape's sides, which may be equal; ends the program on anything else."""
    words = sides.split(",")
    if not all(word.strip().isdecimal() for word in words):
        fail(f"--shape {text!r} must give whole numbers: NAME:3,640,640.")
    return tuple(map(int, words))


@contextmanager
def stoppable() -> Iterator[tuple[Progress, threading.Event]]:
    """Show progress; the first Ctrl-C sets the event, a second one ends the program.

    SIGTERM and a closed terminal are as a Ctrl-C: what was changed for trial is put back.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    stop = threading.Event()

    def interrupted(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    text = TextColumn("{task.description}", markup=False)
    columns = (BarColumn(), TaskProgressColumn(), Elapsed(), text)
    before = {number: signal.signal(number, interrupted) for number in _ending()}
    try:
        with Progress(
            *columns, console=stderr, transient=True, disable=not stderr.is_terminal
        ) as bars:
            bar = bars.add_task("", total=1.0)

            def tell(share: float, doing: str) -> None:
                bars.update(bar, completed=share, description=doing)

            yield tell, stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ending() -> tuple[signal.Signals, ...]:
    """Return the signals that end the program, but for those that it was started to ignore."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):  # Windows has none
        numbers.append(signal.SIGHUP)
    return tuple(one for one in numbers if signal.getsignal(one) is not signal.SIG_IGN)
