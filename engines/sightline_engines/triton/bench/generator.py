"""The load itself, in a process of its own: what draws and reads statistics can't delay it.

Reads pickles from stdin, a Job and then commands, and answers `take` on stdout.
"""

from __future__ import annotations

import pickle
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Literal, TypeAlias

import numpy as np

from sightline_engines.triton.bench.answers import Answers, Failed, joined
from sightline_engines.triton.bench.options import Closed, Open
from sightline_engines.triton.bench.schedule import due_times, shared_out
from sightline_engines.triton.bench.senders import Sender, SendFailed, Target, sender

AWAY = frozenset({"unavailable", "deadline_exceeded"})
REST_S = 0.05  # after a failure: a server that refuses isn't asked thousands of times a second
SHARED_BY = 4  # threads on one gRPC connection; HTTP has one each


@dataclass(frozen=True, slots=True)
class Job:
    """One of `of` processes' part of the load."""

    target: Target
    load: Closed | Open
    seed: int
    share: int = 0
    of: int = 1

    @property
    def threads(self) -> int:
        """Requests that this process may have in flight."""
        load = self.load
        most = load.in_flight if isinstance(load, Closed) else load.most_in_flight
        return shared_out(most, self.share, self.of)


@dataclass(frozen=True, slots=True)
class Run:
    """Send so many requests from a moment on; None: until another command comes."""

    limit: int | None
    begin_s: float  # monotonic clock


Command: TypeAlias = Run | Literal["take"]


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What ended since the last time, and what sending has cost."""

    answers: Answers
    done: bool  # all has been sent and answered
    cpu_s: tuple[float, ...] = ()  # of each process since its start


class Round:
    """Sends requests by threads, each of which waits for its request's time and its answer."""

    def __init__(self, job: Job, senders: list[Sender], run: Run) -> None:
        self._closed = isinstance(job.load, Closed)
        self._due = self._due_times(job, run)
        self._bodies = cycle(job.target.bodies)
        self._left = None if run.limit is None else shared_out(run.limit, job.share, job.of)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._times: list[tuple[float, float, float]] = []
        self._failed: list[Failed] = []
        self._threads = [
            threading.Thread(target=self._work, args=(one,), daemon=True) for one in senders
        ]

    def start(self) -> None:
        """Let the threads begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send no more; returns when the last answer is there."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def take(self) -> Taken:
        """Return what ended since the last call."""
        done = not any(thread.is_alive() for thread in self._threads)
        with self._lock:
            times, self._times = self._times, []
            failed, self._failed = self._failed, []
        table = np.array(times, np.float64).reshape(-1, 3)
        return Taken(Answers(table, tuple(failed)), done, (time.process_time(),))

    def _work(self, connection: Sender) -> None:
        while (request := self._next()) is not None:
            due_s, body = request
            wait_s = due_s - time.monotonic()
            if wait_s > 0 and self._over.wait(wait_s):
                return
            sent_s = time.monotonic()
            try:
                connection.send(body)
            except SendFailed as failure:
                with self._lock:
                    self._failed.append((time.monotonic(), failure.kind, failure.said))
                self._over.wait(REST_S)
            else:
                ended_s = time.monotonic()
                with self._lock:
                    self._times.append((sent_s if self._closed else due_s, sent_s, ended_s))

    def _next(self) -> tuple[float, bytes] | None:
        """Return when the next request is due, and it; None if there is none."""
        with self._lock:
            if self._over.is_set() or self._left == 0:
                return None
            if self._left is not None:
                self._left -= 1
            return next(self._due), next(self._bodies)

    @staticmethod
    def _due_times(job: Job, run: Run) -> Iterator[float]:
        if isinstance(job.load, Closed):
            return cycle((run.begin_s,))
        offsets = due_times(job.load, job.seed, job.share, job.of)
        return (run.begin_s + offset for offset in offsets)


def main() -> None:
    """Do what stdin says until it ends."""
    commands, answers = sys.stdin.buffer, sys.stdout.buffer
    job: Job = pickle.load(commands)  # noqa: S301  from the process that started this one
    senders: list[Sender] = []
    for number in range(job.threads):
        shared = job.target.protocol == "grpc" and number % SHARED_BY
        senders.append(senders[-1] if shared else sender(job.target))
    going: Round | None = None
    while True:
        try:
            command: Command = pickle.load(commands)  # noqa: S301  as above
        except EOFError:
            return
        if isinstance(command, Run):
            if going is not None:
                going.stop()
            going = Round(job, senders, command)
            going.start()
        else:
            idle = Taken(joined(()), True, (time.process_time(),))
            pickle.dump(going.take() if going else idle, answers)
            answers.flush()
