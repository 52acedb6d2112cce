"""How an engine comes into memory: what of a model can run here, its files held meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

import structlog

from sightline_backend.batcher import Batcher
from sightline_backend.errors import UnknownModelError
from sightline_engines.errors import EngineMemoryError, ModelFileError, SightlineError
from sightline_engines.types import ModelSpec, ServedModel

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Models(Protocol):
    """The models that can be had, by name; both may read files."""

    def list(self) -> Sequence[ModelSpec]: ...

    def find(self, name_or_path: str) -> ModelSpec: ...


@dataclass(frozen=True, slots=True)
class Fitted:
    """What to load for a model; `fallback` says why it isn't the file that was asked for."""

    spec: ModelSpec
    fallback: str | None = None


Fit: TypeAlias = Callable[[ModelSpec], Iterator[Fitted]]
Hold: TypeAlias = Callable[[Sequence[ModelSpec]], AbstractContextManager[object]]
MakeBatcher: TypeAlias = Callable[[ModelSpec], Batcher]
MakeRoom: TypeAlias = Callable[[], Awaitable[bool]]  # False: nothing could leave memory


def as_it_is(spec: ModelSpec) -> Iterator[Fitted]:
    """Run the very file."""
    yield Fitted(spec)


@dataclass(frozen=True, slots=True)
class Loading:
    """Loads engines; `fit` says what to try and `hold` marks files as in use, both may block."""

    make: MakeBatcher
    fit: Fit = as_it_is
    hold: Hold | None = None

    @asynccontextmanager
    async def engine(
        self, spec: ModelSpec, make_room: MakeRoom, *, background: bool = False
    ) -> AsyncIterator[Batcher]:
        """Run what loads first of what may, for the length of a block.

        Where memory doesn't suffice a file is tried once more, when others have made room.
        `fallback` says what kept those before it; raises that if none loads.
        """
        choices = self.fit(spec)
        failure: SightlineError | None = None
        while (fitted := await asyncio.to_thread(next, choices, None)) is not None:
            async with AsyncExitStack() as held:
                try:
                    if self.hold is not None:
                        await asyncio.to_thread(held.enter_context, self.hold([fitted.spec]))
                    reasons = [failure.message if failure else None, fitted.fallback]
                    why = " ".join(filter(None, reasons)) or None
                    make = partial(self._made, fitted.spec, why, background=background)
                    batcher = await _loaded(make, make_room, held)
                except SightlineError as error:
                    log.warning("a file didn't load", model=spec.name, reason=error.message)
                    failure = failure or error
                    continue
                yield batcher
                return
        raise failure or ModelFileError(f"Nothing of {spec.name} can run here.")

    def _made(self, spec: ModelSpec, fallback: str | None, *, background: bool) -> Batcher:
        made = self.make(spec)
        made.background = background
        made.fallback = fallback
        return made


async def _loaded(
    make: Callable[[], Batcher], make_room: MakeRoom, held: AsyncExitStack
) -> Batcher:
    """Enter a batcher, and where memory doesn't suffice another once there is room."""
    try:
        return await held.enter_async_context(make())
    except SightlineError as error:
        if error.code != EngineMemoryError.code or not await make_room():
            raise
    return await held.enter_async_context(make())


async def listed(models: Models, name: str | None, default: str) -> ModelSpec:
    """Return a model that a client asks for by name; raises UnknownModelError.

    Never `find`: it takes paths too, and this name comes from a client.
    """
    known = {spec.name: spec for spec in await asyncio.to_thread(models.list)}
    if name is None or name not in known:
        names = dict.fromkeys([default, *known])
        raise UnknownModelError(
            f"There is no model {(name or '')[:80]!r}. There are: {', '.join(names)}. "
            "`sightline models add` and `sightline models pull` bring more."
        )
    return known[name]


def facts(served: ServedModel) -> dict[str, str | None]:
    """Return what a log line says of an engine."""
    return {"engine": served.engine, "device": served.device, "fallback": served.fallback}
