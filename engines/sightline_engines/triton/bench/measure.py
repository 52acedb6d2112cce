"""Measure a model on a Triton server."""

from __future__ import annotations

import threading
import time
from typing import TypeAlias

from sightline_engines.errors import EngineAwayError
from sightline_engines.progress import Progress, quiet
from sightline_engines.triton.bench.answers import joined
from sightline_engines.triton.bench.figures import Measured
from sightline_engines.triton.bench.generator import AWAY
from sightline_engines.triton.bench.load import Load
from sightline_engines.triton.bench.options import BenchOptions, Count, Stable
from sightline_engines.triton.bench.payload import Payload, prepare
from sightline_engines.triton.bench.split import Reading, read
from sightline_engines.triton.bench.summary import Ended, summary
from sightline_engines.triton.bench.windows import COMPARED, agree, keeps_rate, window
from sightline_engines.triton.client import Client, open_client

CpuTimes: TypeAlias = tuple[float, ...]  # of each process that sends, s

LOOK_S = 0.2
AWAY_S = 2.0  # nothing but refusals for so long: the server isn't there any more


def measure(
    options: BenchOptions, progress: Progress = quiet, stop: threading.Event | None = None
) -> Measured:
    """Load a model as asked and tell its figures; blocks until it is done or `stop` is set.

    Raises EngineAwayError or TritonError where the model can't be asked at all, ProviderError
    where no request for it can be made. A server that goes away later, and `stop`, leave a
    partial result: `complete` is False and `remark` says why.
    """
    with open_client(options.triton()) as client:
        payload = prepare(client, options)
        with Load(payload.target, options) as load:
            return _Measurement(client, payload, load, options, progress, stop).run()


class _CutShort(Exception):
    """What ended a measurement before its time."""


class _Measurement:
    """One measurement under way: windows, each with what was answered in it.

    The server's counters are read at each border, and a border lies where they were read: so
    the figures and the split are of the same requests, but for those that a border cuts.
    """

    def __init__(  # noqa: PLR0913, PLR0917  made in one place
        self,
        client: Client,
        payload: Payload,
        load: Load,
        options: BenchOptions,
        progress: Progress,
        stop: threading.Event | None,
    ) -> None:
        self._client = client
        self._payload = payload
        self._load = load
        self._options = options
        self._progress = progress
        self._stop = stop or threading.Event()
        self._begun: tuple[float, Reading, CpuTimes] | None = None  # the window under way
        self._cpu_s: CpuTimes = ()
        self._windows: list[Ended] = []
        self._fresh = joined(())  # since the last border
        self._last_answer_s = 0.0

    def run(self) -> Measured:
        """Warm up, measure, and sum up, whatever happens on the way."""
        cut = ""
        try:
            self._warm_up()
            match self._options.until:
                case Stable() as until:
                    self._until_stable(until)
                case Count() as until:
                    self._until_count(until)
        except _CutShort as short:
            cut = str(short)
            self._cut_window()
        return summary(self._options, self._payload, self._windows, cut)

    def _warm_up(self) -> None:
        if not self._options.warmup_requests:
            return
        self._progress(0.0, "warming up")
        self._last_answer_s = self._load.run(self._options.warmup_requests)
        while not self._look():
            self._stop.wait(LOOK_S / 4)
        self._fresh = joined(())

    def _until_stable(self, until: Stable) -> None:
        self._begin(None)
        while len(self._windows) < until.most_windows:
            doing = self._doing()
            begin_s = self._begun[0] if self._begun else time.monotonic()
            while (now_s := time.monotonic()) < begin_s + until.window_s:
                done = len(self._windows) + max(0.0, now_s - begin_s) / until.window_s
                self._progress(done / until.most_windows, doing)
                self._stop.wait(min(LOOK_S, begin_s + until.window_s - now_s))
                self._look()
            self._end()
            windows = [one.window for one in self._windows]
            last = windows[-COMPARED:]
            if agree(windows, until.tolerance) and keeps_rate(
                last, self._options.load, until.tolerance
            ):
                break
        self._progress(1.0, "measured")

    def _until_count(self, until: Count) -> None:
        self._begin(until.requests)
        while not self._look():
            count = len(self._fresh.times) + len(self._fresh.failed)
            self._progress(count / until.requests, f"{count} of {until.requests} requests")
            self._stop.wait(LOOK_S / 4)
        self._end(self._fresh.last_s)
        self._progress(1.0, "measured")

    def _look(self) -> bool:
        """Take what was answered; tell whether all that was asked for is. May cut it short."""
        taken = self._load.take()
        more, self._cpu_s = taken.answers, taken.cpu_s
        self._fresh = joined((self._fresh, more))
        self._last_answer_s = max(self._last_answer_s, more.last_s or 0.0)
        if self._stop.is_set():
            raise _CutShort("stopped before it was done")
        silent_s = time.monotonic() - self._last_answer_s
        refused = [said for at, kind, said in self._fresh.failed if kind in AWAY]
        if silent_s > AWAY_S and more.failed and refused and not len(more.times):
            raise _CutShort(f"the server went away: {refused[-1]}")
        return taken.done

    def _begin(self, limit: int | None) -> None:
        """Begin to send what counts, and with it the first window."""
        reading = self._reading()
        self._cpu_s = self._load.take().cpu_s  # what starting has cost isn't sending
        begin_s = self._last_answer_s = self._load.run(limit)
        self._begun = begin_s, reading, self._cpu_s

    def _end(self, at_s: float | None = None) -> None:
        """End a window now, or when the last answer came, and begin the next."""
        reading = self._reading()
        end_s = at_s or time.monotonic()
        self._look()
        self._close_window(end_s, reading)

    def _cut_window(self) -> None:
        """End the window that was cut short, with the server's counters if it still tells them."""
        try:
            reading = self._reading()
        except _CutShort:
            self._close_window(time.monotonic(), None)
        else:
            self._close_window(time.monotonic(), reading)

    def _close_window(self, end_s: float, reading: Reading | None) -> None:
        if self._begun is None:
            return
        begin_s, before, cpu_s = self._begun
        inside, self._fresh = self._fresh.split(end_s)
        used_s = max((now - then for now, then in zip(self._cpu_s, cpu_s, strict=True)), default=0)
        found = window(inside, end_s - begin_s, used_s)
        self._windows.append(Ended(found, inside, before, reading))
        self._begun = None if reading is None else (end_s, reading, self._cpu_s)

    def _reading(self) -> Reading:
        try:
            return read(self._client, self._payload.parts, self._options.version)
        except EngineAwayError as error:
            raise _CutShort(f"the server went away: {error.message}") from error

    def _doing(self) -> str:
        if not self._windows:
            return "window 1"
        last = self._windows[-1].window
        return (
            f"window {len(self._windows) + 1}; the last one: {last.requests_per_s:.1f} requests/s, "
            f"{last.mean_ms:.1f} ms"
        )
