"""Watches over what is deployed: tries it, and brings it back where it doesn't answer.

Triton says READY of a model whose Python process has died, and one that was started anew has
nothing loaded. Both mend themselves here; what somebody unloaded on purpose stays unloaded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import structlog

from sightline_backend.reader import Reader
from sightline_backend.triton.deploying import Deploying
from sightline_backend.triton.link import Link
from sightline_backend.triton.reading import DeploymentReading, ModelReading, Reading
from sightline_engines.errors import SightlineError
from sightline_engines.triton.probe import probe
from sightline_engines.triton.statistics import Key
from sightline_monitoring.triton import TritonMetrics

EVERY_S = 4.0
PROBE_S = 5.0  # less than the reader waits
FAILURES = 2  # in a row, before anything is loaded anew
FIRST_REST_S, LONGEST_REST_S = 5.0, 300.0  # between attempts at one model, twice as long each time

Counted: TypeAlias = tuple[int, int]  # requests that succeeded, and that failed

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Probed:
    """Whether a name answered when it was looked at last."""

    ok: bool
    error: str
    checked_at: float  # seconds since 1970


@dataclass(slots=True)
class _Patience:
    """How a model has fared."""

    failed: int = 0  # looks in a row
    rest_s: float = FIRST_REST_S
    not_before_s: float = 0.0  # by time.monotonic()
    well_since_s: float | None = None  # the same


class Watch:
    """Looks at Triton every few seconds, for the length of `async with`."""

    def __init__(
        self,
        link: Link,
        deploying: Deploying,
        metrics: TritonMetrics,
        every_s: float = EVERY_S,
    ) -> None:
        self.probes: dict[str, Probed] = {}  # by name; replaced as a whole
        self._link = link
        self._deploying = deploying
        self._metrics = metrics
        self._every_s = every_s
        self._reader = Reader()
        self._models: dict[str, _Patience] = {}
        self._counted: dict[Key, Counted] = {}  # as it was after the last probe
        self._watching: asyncio.Task[None] | None = None
        self._trying: asyncio.Task[None] | None = None
        self._mending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin to watch, where a Triton is configured."""
        if self._link.options is not None:
            self._watching = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop; what is being mended is left to itself."""
        tasks = [one for one in (*self._mending, self._watching, self._trying) if one is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._reader.close()

    async def _run(self) -> None:
        while True:
            try:
                await self._once()
            except Exception:  # the outermost loop: the next look may do
                log.exception("Triton can't be watched")
            await asyncio.sleep(self._every_s)

    async def _once(self) -> None:
        """Look; models are tried beside that: one that hangs doesn't keep the next look waiting."""
        reading = await self._link.read()
        wanted = [one for one in reading.deployments if one.wanted]
        self._tell(reading, wanted)
        # "ready" goes with the first model that somebody unloads, "live" doesn't.
        if reading.live and (self._trying is None or self._trying.done()):
            self._trying = asyncio.create_task(self._try(reading, wanted))

    def _tell(self, reading: Reading, wanted: Sequence[DeploymentReading]) -> None:
        names = [name for one in wanted for name in one.deployment.stable]
        ready = sum(reading.states.get(name) == "READY" for name in names)
        self._metrics.watched(reading.live, ready, len(names) - ready)

    async def _try(self, reading: Reading, wanted: Sequence[DeploymentReading]) -> None:
        try:
            cached = {
                name
                for one in reading.deployments
                if one.active and one.deployment.config.response_cache
                for name in one.deployment.stable
            }
            found: dict[str, Probed] = {}
            for one in reading.models:
                if one.state.state == "READY" and one.known.kind in ("pictures", "tensors"):
                    found[one.state.name] = await self._tried(one, one.state.name in cached)
            self.probes = found
            there = {(one.state.name, one.state.version) for one in reading.models}
            self._counted = {key: one for key, one in self._counted.items() if key in there}
            for deployment in wanted:
                self._judge(deployment)
            known = {one.deployment.model for one in wanted}
            self._models = {name: one for name, one in self._models.items() if name in known}
        except Exception:  # a task of its own: nobody else would hear of it
            log.exception("Triton's models can't be tried")

    async def _tried(self, one: ModelReading, cached: bool) -> Probed:
        """Return whether a model answers: by what it answered others, or by a probe.

        So the counts of a model at work have next to none of our probes. A response cache may
        answer others for a model that is dead.
        """
        key, now = (one.state.name, one.state.version), _counted(one)
        before = self._counted.get(key)
        self._counted[key] = now
        if before is not None and not cached and _answers_others(before, now):
            return Probed(True, "", time.time())
        found = await self._probe(one.state.name)
        succeeded, failed = now
        self._counted[key] = (succeeded + found.ok, failed + (not found.ok))
        return found

    async def _probe(self, name: str) -> Probed:
        """Run a model once; one that hangs is no better than one that fails."""
        try:
            found = await self._reader.run(lambda: probe(self._link.client, name, PROBE_S))
            ok, error = found.ok or found.busy, found.error
        except TimeoutError:
            ok, error = False, "It didn't answer in time."
        self._metrics.probed(ok)
        return Probed(ok, error, time.time())

    def _judge(self, one: DeploymentReading) -> None:
        """Begin to mend a deployment that has failed for long enough, at most so often.

        Two looks, as another process may be changing it: its names come one after the other.
        """
        model, now_s = one.deployment.model, time.monotonic()
        patience = self._models.setdefault(model, _Patience())
        probes = [self.probes.get(name) for name in one.deployment.stable]
        if one.serves and all(probe is None or probe.ok for probe in probes):
            patience.failed = 0
            if patience.well_since_s is None:
                patience.well_since_s = now_s
            elif now_s - patience.well_since_s >= LONGEST_REST_S:
                patience.rest_s = FIRST_REST_S  # one good answer alone shows little
            return
        patience.failed += 1
        patience.well_since_s = None
        if patience.failed < FAILURES or now_s < patience.not_before_s or self._link.changes.busy:
            return
        patience.not_before_s = now_s + patience.rest_s
        patience.rest_s = min(2 * patience.rest_s, LONGEST_REST_S)
        task = asyncio.create_task(self._mend(model))
        self._mending.add(task)
        task.add_done_callback(self._mending.discard)

    async def _mend(self, model: str) -> None:
        errors = [f"{name}: {one.error}" for name, one in self.probes.items() if not one.ok]
        try:
            mended = await self._deploying.mend(model)
        except SightlineError as error:
            self._metrics.reloaded("failed")
            log.warning("it can't be loaded anew", model=model, why=errors, reason=error.message)
        except Exception:  # a task of its own: nobody else would hear of it
            self._metrics.reloaded("failed")
            log.exception("it can't be loaded anew", model=model, why=errors)
        else:
            if mended:  # else it answered by then, or others are changing it
                self._metrics.reloaded("reloaded")
                log.warning("what is deployed didn't answer; it was loaded anew", model=model)


def _counted(one: ModelReading) -> Counted:
    found = one.statistics
    return (found.succeeded, found.failures) if found is not None else (0, 0)


def _answers_others(before: Counted, now: Counted) -> bool:
    return now[0] > before[0] and now[1] == before[1]
