"""The models in memory: each with its engine and batcher, the least used one making room."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from types import TracebackType
from typing import Protocol, Self

import structlog

from sightline_backend.batcher import Batcher
from sightline_backend.errors import NoRoomForModelError, Refused, UnknownModelError
from sightline_backend.place import Place
from sightline_engines.errors import EngineError, SightlineError
from sightline_engines.types import ModelSpec, ServedModel

MakeBatcher = Callable[[ModelSpec], Batcher]

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Models(Protocol):
    """The models that can be had, by name; both may read files."""

    def list(self) -> Sequence[ModelSpec]: ...

    def find(self, name_or_path: str) -> ModelSpec: ...


class EnginePool:
    """Hands out running batchers by model name; use as `async with EnginePool(…)`.

    The default model stays; of the others, the least recently used one that nobody uses is
    closed when a further one is asked for.
    """

    def __init__(
        self,
        models: Models,
        make: MakeBatcher,
        default: str,
        preload: Sequence[str] = (),
        capacity: int = 3,
    ) -> None:
        self._models = models
        self._make = make
        self._asked_default = default
        self._preload = preload
        self._capacity = capacity
        self._places: dict[str, Place] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # of the models that leave, too
        self._closing = False
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
            await self._close_all()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every engine; what waits in one ends as closing."""
        await self._close_all()

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
        if place is None or not place.ready.done() or place.stop.is_set():
            return "The server is starting or stopping; try again in a moment."
        return place.ready.result().trouble

    @property
    def loaded(self) -> frozenset[str]:
        """Names of the models in memory."""
        return frozenset(
            name
            for name, place in self._places.items()
            if place.ready.done() and not place.stop.is_set()
        )

    @property
    def running(self) -> list[Batcher]:
        """The models in memory."""
        return [self._places[name].ready.result() for name in self.loaded]

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
            place.leases -= 1
            raise

    def release(self, batcher: Batcher) -> None:
        """Give back what `acquire` returned."""
        place = self._places.get(batcher.spec.name)
        if place is not None:
            place.leases -= 1

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
        # Never `find`: it takes paths too, and this name comes from a client.
        listed = {spec.name: spec for spec in await asyncio.to_thread(self._models.list)}
        if name is None or name not in listed:
            names = dict.fromkeys([self.default.spec.name, *listed])
            raise UnknownModelError(
                f"There is no model {(name or '')[:80]!r}. There are: {', '.join(names)}. "
                "`sightline models add` and `sightline models pull` bring more."
            )
        return listed[name]

    def _place(self, spec: ModelSpec) -> Place:
        """Return a model's place, a new one if need be; never waits, so no two do it at once."""
        if self._closing:
            raise Refused("The server is stopping; try again in a moment.", 5.0, "closing")
        place = self._places.get(spec.name)
        if place is None:
            leaving = self._make_room()
            place = Place(spec, asyncio.get_running_loop().create_future())
            place.task = asyncio.create_task(
                self._run(place, leaving.task if leaving else None),
                name=f"model {spec.name}",
                context=Context(),  # its log lines are not about the call that asked for it first
            )
            self._tasks.add(place.task)
            place.task.add_done_callback(self._tasks.discard)
            self._places[spec.name] = place
        return place

    def _make_room(self) -> Place | None:
        """Send the least recently used idle model away if there is no room for another."""
        if len(self._places) < self._capacity:
            return None
        idle = [(p.used, n) for n, p in self._places.items() if p.leases == 0 and p.ready.done()]
        if not idle:
            raise NoRoomForModelError(
                f"{self._capacity} models are in memory and in use, which is the most this "
                "server holds (SIGHTLINE_MAX_MODELS). Use one of them, or try again later."
            )
        leaving = self._places.pop(min(idle)[1])
        leaving.stop.set()
        return leaving

    async def _run(self, place: Place, leaving: asyncio.Task[None] | None) -> None:
        """Hold one model from its loading to its end, in one task as `async with` needs.

        It loads once the model that makes room for it has gone.
        """
        spec = place.spec
        try:
            if leaving is not None:
                await asyncio.wait([leaving])  # `await leaving` would cancel it with this task
            if place.stop.is_set():  # the server stopped in the meantime
                return
            async with self._make(spec) as batcher:
                log.info("model ready", model=spec.name, **_served(batcher.served))
                place.ready.set_result(batcher)
                await place.stop.wait()
            log.info("model closed", model=spec.name)
        except SightlineError as error:
            place.fail(error)
        except Exception:  # a runtime's own error; whoever asked gets an answer all the same
            log.exception("model failed", model=spec.name)
            message = f"The model {spec.name} can't be run here; the server's log says why."
            place.fail(EngineError(message))
        finally:
            if self._places.get(spec.name) is place:
                del self._places[spec.name]
            place.fail(EngineError(f"The model {spec.name} was closed before it was ready."))

    async def _close_all(self) -> None:
        """Close every model; one that fails is logged by its own task and holds up no other."""
        self._closing = True
        for place in self._places.values():
            place.stop.set()
        if self._tasks:
            await asyncio.wait(self._tasks)


def _served(served: ServedModel) -> dict[str, str | None]:
    return {"engine": served.engine, "device": served.device, "fallback": served.fallback}
