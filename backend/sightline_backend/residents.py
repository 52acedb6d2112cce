"""The engines in memory under a name, each held by one task from its loading to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import Context

import structlog

from sightline_backend.batcher import Batcher
from sightline_backend.errors import Refused
from sightline_backend.place import Place
from sightline_backend.room import Room
from sightline_backend.serving.loading import Loading, facts
from sightline_engines.errors import EngineError, SightlineError
from sightline_engines.types import ModelSpec

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Residents:
    """Loads models into places and closes them; a place whose engine ends leaves its room."""

    def __init__(self, loading: Loading, room: Room) -> None:
        self._loading = loading
        self._room = room
        self._places: dict[Batcher, Place] = {}  # of all that are loaded, replaced ones too
        self._tasks: dict[asyncio.Task[None], Place] = {}  # of the models that leave, too
        self.closing = False

    @property
    def batchers(self) -> list[Batcher]:
        """All that are loaded, replaced ones too."""
        return list(self._places)

    def place(self, batcher: Batcher) -> Place | None:
        """Return where a batcher runs; None: it has gone."""
        return self._places.get(batcher)

    def check_open(self) -> None:
        """Raise Refused once all are being closed."""
        if self.closing:
            raise Refused("The server is stopping; try again in a moment.", 5.0, "closing")

    def begin(self, spec: ModelSpec, leaving: Sequence[Place] = ()) -> Place:
        """Begin to load a model, once those that make room for it have gone; never waits."""
        self.check_open()
        place = Place(spec, asyncio.get_running_loop().create_future())
        place.task = asyncio.create_task(
            self._run(place, leaving),
            name=f"model {spec.name}",
            context=Context(),  # its log lines are not about the call that asked for it first
        )
        self._tasks[place.task] = place
        place.task.add_done_callback(self._tasks.pop)
        return place

    async def loaded(self, spec: ModelSpec) -> Place:
        """Load a model and return its place, with a lease; raises what keeps it from loading."""
        place = self.begin(spec)
        place.leases += 1
        try:
            await asyncio.shield(place.ready)
        except BaseException:
            place.leave()
            raise
        return place

    async def make_room(self) -> bool:
        """Close what is kept for a rollback and isn't used; False: there is nothing."""
        kept = self._room.clear_shelf()
        if kept:
            log.info("kept engines sent away for lack of memory", models=len(kept))
        await gone(kept)
        return bool(kept)

    async def close(self) -> None:
        """Close every model; one that fails is logged by its own task and holds up no other."""
        self.closing = True
        for place in list(self._tasks.values()):
            place.leave()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, place: Place, leaving: Sequence[Place]) -> None:
        """Hold one model from its loading to its end, in one task as `async with` needs."""
        spec, room = place.spec, self._room
        try:
            await gone(leaving)
            if place.stop.is_set():  # the server stopped in the meantime
                return
            async with self._loading.engine(spec, self.make_room) as batcher:
                log.info("model ready", model=spec.name, **facts(batcher.served))
                self._places[batcher] = place
                batcher.replaced = place in room.shelf
                place.ready.set_result(batcher)
                try:
                    await place.stop.wait()
                finally:
                    del self._places[batcher]
            log.info("model closed", model=spec.name)
        except SightlineError as error:
            place.fail(error)
        except Exception:  # a runtime's own error; whoever asked gets an answer all the same
            log.exception("model failed", model=spec.name)
            message = f"The model {spec.name} can't be run here; the server's log says why."
            place.fail(EngineError(message))
        finally:
            if room.places.get(spec.name) is place:
                del room.places[spec.name]
            room.shelf.take(place)
            place.fail(EngineError(f"The model {spec.name} was closed before it was ready."))


async def gone(places: Sequence[Place]) -> None:
    """Wait until places have closed; unlike `await` of their tasks it cancels none with us."""
    if tasks := [place.task for place in places if place.task is not None]:
        await asyncio.wait(tasks)
