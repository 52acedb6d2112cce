"""One run in this process: open the streams, send what is due, wait for the ends."""

from __future__ import annotations

import asyncio
import gc
import selectors
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from benchmarks.load.account import Account
from benchmarks.load.frames import default_clip, jpegs
from benchmarks.load.live import LiveStream
from benchmarks.load.post import PostStream
from benchmarks.load.report import LoadReport
from benchmarks.load.schedule import due_times, first_number, phases
from benchmarks.load.spec import LoadSpec

LEAD_S = 0.1  # between the last stream's opening and the first frame
LEAST_DRAIN_S, MOST_DRAIN_S = 1.0, 10.0  # how long the last frames' ends are waited for


class Stream(Protocol):
    """A camera: one connection or several, to one server."""

    async def open(self) -> None: ...

    def send(self, seq: int, due_s: float, jpeg: bytes) -> None: ...

    async def close(self) -> None: ...


def drive(spec: LoadSpec) -> LoadReport:
    """Run the load in this process; blocks."""
    files = jpegs(spec.clip or default_clip(), spec.size_wh, spec.quality, spec.frames)
    gc.freeze()  # a collection over all that was imported would make frames late

    def precise() -> asyncio.AbstractEventLoop:
        # epoll's timers are whole milliseconds, a good part of what is measured here
        return asyncio.SelectorEventLoop(selectors.SelectSelector())

    with asyncio.Runner(loop_factory=precise) as runner:
        return runner.run(offer_load(spec, files))


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run that has its streams open."""

    spec: LoadSpec
    files: Sequence[bytes]
    account: Account
    start_s: float  # when the first frame may be due

    async def send(self, stream: Stream, index: int, first_s: float) -> None:
        """Send a stream's frames, each when it is due and never because of another."""
        spec, files = self.spec, self.files
        dues = due_times(spec.streams[index], first_s, spec.warm_s + spec.seconds)
        for number, after_s in enumerate(dues):
            due_s = self.start_s + after_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            seq = first_number(index) + number
            self.account.offer(seq, due_s)
            # streams start at different pictures of the clip
            stream.send(seq, due_s, files[(number + 7 * index) % len(files)])

    async def drain(self) -> None:
        """Wait for the last ends: past the deadline an answer counts as late, not as lost."""
        wait_s = min(max(3 * self.account.deadline_s, LEAST_DRAIN_S), MOST_DRAIN_S)
        until_s = time.monotonic() + wait_s
        while self.account.waiting and time.monotonic() < until_s:  # noqa: ASYNC110  no event
            await asyncio.sleep(0.01)


async def offer_load(spec: LoadSpec, files: Sequence[bytes]) -> LoadReport:
    """Open the streams, send the frames, and return what became of them."""
    account = Account(spec.streams, spec.deadline_ms / 1e3)
    streams = [_stream(spec, index, account) for index in range(len(spec.streams))]
    await asyncio.gather(*(stream.open() for stream in streams))
    run = Run(spec, files, account, time.monotonic() + LEAD_S)
    account.from_s = run.start_s + spec.warm_s
    cpu_s = time.process_time()
    firsts = phases(spec.streams, spec.seed)
    await asyncio.gather(*(run.send(stream, i, firsts[i]) for i, stream in enumerate(streams)))
    await run.drain()
    report = account.close(account.from_s, spec.seconds, time.process_time() - cpu_s)
    await asyncio.gather(*(stream.close() for stream in streams))
    if not spec.timeline:
        return report
    return replace(report, timeline=tuple((due, due + age) for _, due, age in account.answers))


def _stream(spec: LoadSpec, index: int, account: Account) -> Stream:
    match spec.kind:
        case "sightline":
            return LiveStream(index, spec.url, account)
        case "http":
            return PostStream(index, spec, account)
