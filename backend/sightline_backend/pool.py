"""The models in memory: each with its engine and batcher, the least used one making room."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

import structlog

from sightline_backend.batcher import Batcher
from sightline_backend.place import Place
from sightline_backend.residents import Residents, gone
from sightline_backend.room import Room
from sightline_backend.serving.loading import (
    Fit,
    Hold,
    Loading,
    MakeBatcher,
    Models,
    as_it_is,
    facts,
    listed,
)
from sightline_backend.serving.probe import answers
from sightline_engines.types import ModelSpec

__all__ = ["EnginePool", "MakeBatcher", "Models"]

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class EnginePool:
    """Hands out running batchers by model name; use as `async with EnginePool(…)`.

    The default model stays; of the others, the least recently used one that nobody uses is
    closed when a further one is asked for. What serves a name can be swapped while it runs: the
    old one stays until its last user has gone, and then a while for a rollback.
    """

    def __init__(  # noqa: PLR0913
        self,
        models: Models,
        make: MakeBatcher,
        default: str,
        preload: Sequence[str] = (),
        capacity: int = 3,
        *,
        fit: Fit = as_it_is,
        hold: Hold | None = None,
    ) -> None:
        """`fit` says what of a model can run here; `hold` marks files as in use. Both may block."""
        self._models = models
        self._loading = Loading(make, fit, hold)
        self._asked_default = default
        self._preload = preload
        self._room = Room(capacity)
        self._places, self._shelf = self._room.places, self._room.shelf
        self._residents = Residents(self._loading, self._room)
        self._swaps: dict[str, asyncio.Lock] = {}
        self._beside: list[Batcher] = []  # that run under no name
        self._requests = itertools.count(1)
        self._default_spec: ModelSpec | None = None
        self._default: Batcher | None = None

    async def __aenter__(self) -> Self:
        """Load the default and the preloaded models; raises what keeps one from loading."""
        try:
            self._default_spec = await asyncio.to_thread(self._models.find, self._asked_default)
            self._default = await self.acquire(self._default_spec.name)
            for name in self._preload:
                self.release(await self.acquire(name))
        except BaseException:
            await self._residents.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every engine; what waits in one ends as closing."""
        await self._residents.close()

    @property
    def default(self) -> Batcher:
        """The batcher that serves callers who name no model."""
        if self._default is None:
            raise RuntimeError("the pool is used before `async with`")
        return self._default

    @property
    def trouble(self) -> str | None:
        """Why the default model takes no frames; None while it does."""
        place = self._places.get(self._default_spec.name) if self._default_spec else None
        if place is None or not place.serves:
            return "The server is starting or stopping; try again in a moment."
        return place.ready.result().trouble

    @property
    def loaded(self) -> frozenset[str]:
        """Names of the models in memory."""
        return frozenset(name for name, place in self._places.items() if place.serves)

    @property
    def running(self) -> list[Batcher]:
        """The models in memory."""
        return [self._places[name].ready.result() for name in self.loaded]

    @property
    def in_memory(self) -> list[Batcher]:
        """Every engine that is loaded: replaced ones and those on trial, too."""
        return [*self._residents.batchers, *self._beside]

    @property
    def warm(self) -> list[ModelSpec]:
        """The replaced models that are still in memory."""
        return [place.spec for place in self._shelf if place.serves]

    def serving(self, name: str) -> Batcher | None:
        """Return what serves a name now, without a lease; None: it is not in memory."""
        place = self._places.get(name)
        return place.ready.result() if place is not None and place.serves else None

    async def specs(self) -> list[ModelSpec]:
        """Return every model that can be asked for, the default first."""
        listed = await asyncio.to_thread(self._models.list)
        first = self.default.spec
        return [first, *(spec for spec in listed if spec.name != first.name)]

    async def acquire(self, name: str | None) -> Batcher:
        """Return a model's batcher, loading it if need be; `release` must follow.

        Raises UnknownModelError, NoRoomForModelError or what kept the model from loading. Who is
        cancelled while waiting changes nothing for the model: it comes, or goes, all the same.
        """
        place = self._place(await self._spec(name))
        place.leases += 1
        place.used = next(self._requests)
        try:
            return await asyncio.shield(place.ready)
        except BaseException:
            self._let_go(place)
            raise

    def release(self, batcher: Batcher) -> None:
        """Give back what `acquire` returned."""
        place = self._residents.place(batcher)
        if place is not None:
            self._let_go(place)

    def follow(self, batcher: Batcher) -> Batcher | None:
        """Return what has replaced a batcher, with a lease of its own; never waits.

        None: nothing that serves has. The lease of the old one is kept.
        """
        place = self._places.get(batcher.spec.name)
        if self._residents.closing or place is None or not place.serves or not batcher.replaced:
            return None
        place.leases += 1
        place.used = next(self._requests)
        return place.ready.result()

    async def swap(
        self,
        name: str,
        spec: ModelSpec,
        record: Callable[[], Awaitable[None]] | None = None,
    ) -> Batcher:
        """Have another file or engine serve a model's name, and return it.

        It is loaded and warmed beside the old one; then `record` is awaited, and then all who ask
        get the new one. A load or a record that fails raises, and what serves stays; what was
        kept for a rollback may have made room by then. What served before comes back at once if
        it still answers. Swaps of a name go one by one.
        """
        async with self._swaps.setdefault(name, asyncio.Lock()):
            now = self._places.get(name)
            place = await self._engine_for(name, spec)
            try:
                if record is not None:
                    await record()
                self._residents.check_open()
                if place is not now:
                    self._switch(name, place)
            except BaseException:
                if place is not now and place not in self._shelf:
                    place.leave()
                raise
            finally:
                self._let_go(place)
            return place.ready.result()

    async def _engine_for(self, name: str, spec: ModelSpec) -> Place:
        """Return a place that runs a model's very file, with a lease: one that is there, or new.

        What is kept of that name goes before another is loaded, and what is kept of all others
        if memory doesn't suffice.
        """
        now, before = self._places.get(name), self._shelf.previous(name)
        if now is not None and now.runs(spec):
            now.leases += 1
            return now
        if before is not None and before.runs(spec):
            answered = await answers(before.ready.result())
            if answered and before.serves:  # it may have been sent away meanwhile
                before.leases += 1
                return before
        if before is not None and before.leases == 0:
            self._shelf.send_away(before)
            await gone([before])
        return await self._residents.loaded(spec)

    def _switch(self, name: str, place: Place) -> None:
        """Put a place that serves in another's stead; never waits."""
        batcher = place.ready.result()
        self._shelf.take(place)
        old, self._places[name] = self._places.get(name), place
        place.used = next(self._requests)
        log.info("model swapped", model=name, **facts(batcher.served))
        if self._default_spec is not None and self._default_spec.name == name:
            self._default_spec, self._default = place.spec, batcher
            place.leases += 1  # it stays
            if old is not None:
                old.leases -= 1
        if old is not None:
            self._shelf.put(old)
            self._shelf.released(old)

    @asynccontextmanager
    async def beside(self, spec: ModelSpec) -> AsyncIterator[Batcher]:
        """Run an engine in the background, under no name, for the length of a block.

        It counts as a model in memory; raises NoRoomForModelError. Only when it has loaded do
        others leave for it.
        """
        self._residents.check_open()
        self._room.check()
        self._room.beside += 1
        self._room.loading += 1
        async with AsyncExitStack() as stack:
            stack.callback(self._gone_beside)
            engine = self._loading.engine(spec, self._residents.make_room, background=True)
            try:
                batcher = await stack.enter_async_context(engine)
            finally:
                self._room.loading -= 1
            self._beside.append(batcher)
            stack.callback(self._beside.remove, batcher)
            self._room.shrink()
            yield batcher

    def _gone_beside(self) -> None:
        self._room.beside -= 1

    def _let_go(self, place: Place) -> None:
        """Take a lease back; what is one too many and in use no more goes."""
        place.leases -= 1
        self._shelf.released(place)
        self._room.shrink()

    @asynccontextmanager
    async def using(self, name: str | None) -> AsyncIterator[Batcher]:
        """Acquire a model's batcher for the length of a block."""
        batcher = await self.acquire(name)
        try:
            yield batcher
        finally:
            self.release(batcher)

    async def _spec(self, name: str | None) -> ModelSpec:
        default = self._default_spec
        if default is not None and name in (None, default.name):
            return default
        place = self._places.get(name or "")
        if place is not None:
            return place.spec
        return await listed(self._models, name, self.default.spec.name)

    def _place(self, spec: ModelSpec) -> Place:
        """Return a model's place, a new one if need be; never waits, so no two do it at once."""
        self._residents.check_open()
        place = self._places.get(spec.name)
        if place is None:
            place = self._residents.begin(spec, self._room.make())
            self._places[spec.name] = place
        return place
