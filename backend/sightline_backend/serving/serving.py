"""Changes what serves: promotions, rollbacks, trials in the shadow, plans built anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import structlog

from sightline_backend.batcher import Batcher
from sightline_backend.errors import AccuracyGateError, NotPossibleError, UnknownError
from sightline_backend.jobs.records import JobRecords
from sightline_backend.lane import Observer
from sightline_backend.pool import EnginePool
from sightline_backend.serving.candidate import Candidate, runnable
from sightline_backend.serving.gate import accuracy_loss, check_gate, measured
from sightline_backend.serving.listing import rollback_to, row_of
from sightline_backend.serving.plans import Plans, StalePlan
from sightline_backend.serving.rebuild import Jobs, Rebuilds
from sightline_backend.serving.shadow import Shadow, ShadowWish
from sightline_backend.store.store import Store
from sightline_engines.errors import EngineError
from sightline_engines.types import ServedModel

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """What serves a model's name now, and what did before."""

    model: str
    served: ServedModel
    artefact_id: int
    replaced: ServedModel | None  # None: nothing was in memory
    replaced_artefact_id: int | None
    accuracy_loss: float | None  # mAP50-95; None: not measured on the same data
    seconds: float


class Serving:
    """What serves under each name, and its changes; use as `async with`, inside the pool's."""

    def __init__(  # noqa: PLR0913  the parts that it brings together
        self,
        store: Store,
        pool: EnginePool,
        jobs: Jobs,
        observer: Observer,
        *,
        plans: Plans | None = None,
        max_accuracy_loss: float = 0.01,
    ) -> None:
        """`plans` are those that the pool fits its models by."""
        self._store = store
        self._pool = pool
        self._observer = observer
        self._plans = plans or Plans(store)
        self._most_loss = max_accuracy_loss
        records = JobRecords(store.database)
        self._rebuilds = Rebuilds(self._plans, jobs, records, self._use_rebuilt, observer)
        self._locks: dict[str, asyncio.Lock] = {}
        self._shadows: dict[str, Shadow] = {}  # the newest of each model, ended or not
        self._loading: dict[str, asyncio.Task[None]] = {}  # those whose candidate isn't there yet
        self._tasks: set[asyncio.Task[Any]] = set()
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to build what doesn't fit this machine anew."""
        await self._exits.enter_async_context(self._rebuilds)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the trials; changes that are under way end with the pool."""
        await self._exits.aclose()
        for shadow in self._shadows.values():
            shadow.end()
        if self._tasks:
            slow = (await asyncio.wait(set(self._tasks), timeout=1.0))[1]
            for task in slow:
                task.cancel()
            if slow:
                await asyncio.wait(slow)

    async def promote(
        self,
        name: str,
        artefact_id: int,
        *,
        engine: str = "",
        force: bool = False,
        reason: str = "",
    ) -> Change:
        """Have an artefact serve a model's name, on an engine or what the server is set to.

        Raises AccuracyGateError unless it may, NotPossibleError, UnknownError, or what keeps it
        from loading; then all is as it was. Goes on to its end even if the caller doesn't wait.
        """
        if force and not reason.strip():
            raise NotPossibleError("A promotion past the gate needs a reason: say why.")
        return await self._to_its_end(
            self._promote(name, artefact_id, engine, force=force, reason=reason.strip())
        )

    async def roll_back(self, name: str) -> Change:
        """Have what served before the newest promotion serve again, at once if it is still warm."""
        return await self._to_its_end(self._roll_back(name))

    async def begin_shadow(
        self, name: str, artefact_id: int, *, engine: str = "", share: float, seconds: float | None
    ) -> dict[str, Any]:
        """Try an artefact on a share of a model's frames; one trial of a model at a time."""
        chosen = await asyncio.to_thread(self._candidate, name, artefact_id, engine)
        name = chosen.model.name
        wish = ShadowWish(name, artefact_id, chosen.spec, share, seconds)
        return await self._to_its_end(self._begin_shadow(wish))

    async def _begin_shadow(self, wish: ShadowWish) -> dict[str, Any]:
        """Load what a trial needs; what serves can be changed meanwhile, which ends the trial."""
        name, before = wish.model, self._shadows.get(wish.model)
        if name in self._loading or (before is not None and before.running):
            raise NotPossibleError(f"There is a trial beside {name}; end it first.")
        shadow = self._shadows[name] = Shadow(wish, self._observer)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = self._loading[name] = self._start(shadow.run(self._pool, ready))
        try:
            await asyncio.wait([ready, task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._loading[name]
        if ready.done():
            return shadow.report()
        if task.cancelled():
            raise NotPossibleError(f"The trial beside {name} was ended before it had begun.")
        if before is None:
            del self._shadows[name]
        else:
            self._shadows[name] = before
        task.result()  # raises what kept one of the two from loading
        return shadow.report()

    def shadow(self, name: str) -> dict[str, Any]:
        """Return what the newest trial beside a model found; raises UnknownError."""
        return self._shadow(name).report()

    def end_shadow(self, name: str) -> dict[str, Any]:
        """End a trial and return what it found."""
        shadow = self._shadow(name)
        self._end_trial(name)
        return shadow.report()

    def _end_trial(self, name: str) -> None:
        if (shadow := self._shadows.get(name)) is not None:
            shadow.end()
        if (task := self._loading.get(name)) is not None:
            task.cancel()

    async def listing(self) -> list[dict[str, Any]]:
        """Return what serves: each model in memory, and what a rollback would bring back."""
        running, warm = self._pool.running, self._pool.warm
        return [
            {
                **await asyncio.to_thread(row_of, self._store, batcher.spec, warm),
                **self._moment(batcher),
            }
            for batcher in running
        ]

    async def _promote(
        self, name: str, artefact_id: int, engine: str, *, force: bool, reason: str
    ) -> Change:
        chosen = await asyncio.to_thread(self._candidate, name, artefact_id, engine)
        name = chosen.model.name
        async with self._locks.setdefault(name, asyncio.Lock()):
            chosen = await asyncio.to_thread(self._candidate, name, artefact_id, engine)
            now = chosen.model.active
            if now is not None and (now.id, chosen.model.active_engine) == (artefact_id, engine):
                raise NotPossibleError(f"Artefact {artefact_id} serves {name} already.")
            loss = await asyncio.to_thread(self._loss, chosen)
            try:
                check_gate(now, chosen.artefact, loss, self._most_loss, force=force)
            except AccuracyGateError:
                self._observer.swapped("refused")
                raise

            def record() -> None:
                self._store.promotions.add(
                    *(name, artefact_id),
                    engine=engine,
                    reason=reason,
                    accuracy_loss=loss,
                    forced=force,
                )

            return await self._change(chosen, record, loss, "swapped")

    async def _roll_back(self, name: str) -> Change:
        name = (await asyncio.to_thread(self._store.models.model, name)).name
        async with self._locks.setdefault(name, asyncio.Lock()):
            chosen, newest = await asyncio.to_thread(self._before, name)

            def record() -> None:
                self._store.promotions.roll_back(name, newest)

            return await self._change(chosen, record, None, "rolled_back")

    async def _use_rebuilt(self, stale: StalePlan) -> None:
        """Have a plan that was built anew serve in place of the one that stays in force."""
        name = stale.spec.name
        async with self._locks.setdefault(name, asyncio.Lock()):
            model = await asyncio.to_thread(self._store.models.model, name)
            spec = await asyncio.to_thread(self._store.models.find, name)
            wanted = (spec.path, spec.engine) == (stale.spec.path, stale.spec.engine)
            if not wanted or model.active is None or self._pool.serving(name) is None:
                return
            chosen = Candidate(model, model.active, spec)
            change = await self._to_its_end(self._change(chosen, None, None, "swapped"))
            if name in self._plans.stale:
                raise EngineError(f"What was built can't be used. {change.served.fallback}")

    async def _change(
        self,
        chosen: Candidate,
        record: Callable[[], object] | None,
        loss: float | None,
        result: str,
    ) -> Change:
        """Load and warm, record, switch: a crash in the middle leaves the old or the new."""

        async def recorded() -> None:
            if record is not None:
                await asyncio.to_thread(record)

        name, started_s = chosen.model.name, time.monotonic()
        before = self._pool.serving(name)
        replaced = before.served if before is not None else None
        try:
            batcher = await self._pool.swap(name, chosen.spec, recorded)
        except BaseException:
            self._observer.swapped("failed")
            raise
        self._observer.swapped(result)
        stale = self._plans.stale.get(name)
        if stale is not None and (batcher.fallback is None or stale.spec.path != chosen.spec.path):
            log.info("plan no longer wanted", model=name, artefact=stale.plan.id)
            self._plans.stale.pop(name, None)
        self._end_trial(name)
        return Change(
            model=name,
            served=batcher.served,
            artefact_id=chosen.artefact.id,
            replaced=replaced,
            replaced_artefact_id=chosen.model.active.id if chosen.model.active else None,
            accuracy_loss=loss,
            seconds=time.monotonic() - started_s,
        )

    def _candidate(self, name: str, artefact_id: int, engine: str) -> Candidate:
        return runnable(self._store, self._plans, name, artefact_id, engine)

    def _loss(self, chosen: Candidate) -> float | None:
        now = chosen.model.active
        if now is None:
            return None
        return accuracy_loss(measured(self._store, now), measured(self._store, chosen.artefact))

    def _before(self, name: str) -> tuple[Candidate, int]:
        """Return what a rollback brings back, and the promotion that it takes back.

        Raises NotPossibleError.
        """
        newest = self._store.promotions.standing(name)  # first: what follows may be newer
        model = self._store.models.model(name)
        before = rollback_to(self._store, model)
        if newest is None or before is None:
            raise NotPossibleError(
                f"Nothing was promoted under {name}, so there is nothing to go back to."
            )
        return Candidate(model, *before), newest.id

    def _moment(self, batcher: Batcher) -> dict[str, Any]:
        """Return what of a row only the event loop may read."""
        name = batcher.spec.name
        shadow = self._shadows.get(name)
        return {
            "engine": batcher.served.engine,
            "device": batcher.served.device,
            "fallback": batcher.served.fallback,
            "streams": batcher.streams,
            "shadow": shadow.report() if shadow is not None and shadow.running else None,
            "rebuilding": name in self._rebuilds.building,
        }

    def _shadow(self, name: str) -> Shadow:
        shadow = self._shadows.get(name)
        if shadow is None:
            raise UnknownError(f"There was no trial beside {name[:80]!r}.")
        return shadow

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work that goes on even if we are cancelled."""
        return await asyncio.shield(self._start(work))

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a change of what serves failed", error=str(error))
