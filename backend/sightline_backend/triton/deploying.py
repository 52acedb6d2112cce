"""Deploys what the store has, and has the streams that run at Triton move along."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, wait
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import structlog

from sightline_backend.errors import NotPossibleError, UnknownError
from sightline_backend.pool import EnginePool
from sightline_backend.serving.listing import rollback_to
from sightline_backend.serving.serving import Serving
from sightline_backend.store.store import Store
from sightline_backend.triton.artefacts import artefact_of, built_from
from sightline_backend.triton.link import Link
from sightline_engines.errors import DeployError, SightlineError
from sightline_engines.triton.config import TritonConfig
from sightline_engines.triton.deployer import model_of
from sightline_engines.triton.deployment import Deployment, part_of
from sightline_monitoring.triton import DeploymentResult, TritonMetrics

T = TypeVar("T")

ENGINE = "triton"
MOVE_S = 300.0  # a promotion that takes longer is told of; most take seconds

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeployWish:
    """What is to be deployed, and how."""

    model: str
    artefact_id: int | None
    max_batch: int
    config: TritonConfig
    force: bool = False  # for the promotion of a model that serves through Triton
    reason: str = ""


class Deploying:
    """Changes what is deployed; one change at a time."""

    def __init__(
        self,
        link: Link,
        store: Store,
        pool: EnginePool,
        serving: Serving,
        metrics: TritonMetrics,
    ) -> None:
        self._link = link
        self._store = store
        self._pool = pool
        self._serving = serving
        self._metrics = metrics

    async def deploy(self, wish: DeployWish) -> Deployment:
        """Deploy a stored file; streams that run at Triton are moved to it, others aren't."""
        self._check()
        loop = asyncio.get_running_loop()

        def change() -> Deployment:
            model = self._store.models.model(wish.model)
            artefact = artefact_of(model, wish.artefact_id)
            assert artefact.spec is not None  # noqa: S101  as it was chosen
            return self._link.deployer.deploy(
                replace(artefact.spec, name=model.name),
                wish.config,
                max_batch=wish.max_batch,
                artefact_id=artefact.id,
                built_from=built_from(model, artefact),
                moved=self._mover(loop, force=wish.force, reason=wish.reason),
            )

        return await self._counted(change, "deployed")

    async def rollback(self, model: str) -> Deployment:
        """Have the deployment before serve again, and the streams with it."""
        self._check()
        loop = asyncio.get_running_loop()

        def change() -> Deployment:
            self._check_deployed(model)
            moved = self._mover(loop, force=True, reason="the deployment at Triton was rolled back")
            return self._link.deployer.rollback(model, moved)

        return await self._counted(change, "rolled_back")

    async def remove(self, model: str) -> None:
        """Unload a model and delete its deployments; not while it serves through Triton here."""
        self._check()

        def change() -> None:  # what is checked holds when its turn has come
            self._check_idle(model)
            self._check_deployed(model)
            self._link.deployer.remove(model)

        await self._counted(change, "removed")

    async def load(self, name: str) -> None:
        """Load a model of Triton's repository by its name; a deployed one with all of its parts."""

        def change() -> None:
            self._check_known(name)
            if self._link.deployments is None:
                self._link.control.load(name)
            else:
                self._link.deployer.load(name)

        await self._link.changes.run(change)

    async def unload(self, name: str, *, dependents: bool) -> None:
        """Unload a model by its name, and wait until it is gone; not one that serves here."""

        def change() -> None:
            self._check_known(name)
            self._check_unused(name)
            if self._link.deployments is None:
                self._link.control.unload(name, dependents)
            else:
                self._link.deployer.unload(name, dependents)

        await self._link.changes.run(change)

    async def mend(self, model: str) -> bool:
        """Load what is deployed anew if it doesn't answer; tell whether that was needed."""
        return await self._link.changes.run(lambda: self._link.deployer.mend(model))

    async def _counted(self, change: Callable[[], T], result: DeploymentResult) -> T:
        try:
            done = await self._link.changes.run(change)
        except SightlineError as error:
            if not isinstance(error, UnknownError | NotPossibleError):
                self._metrics.deployed("failed")
            raise
        self._metrics.deployed(result)
        if isinstance(done, Deployment):
            log.info(result, model=done.model, number=done.number, artefact=done.artefact_id)
        return done

    def _mover(
        self, loop: asyncio.AbstractEventLoop, *, force: bool, reason: str
    ) -> Callable[[Deployment], None]:
        """Return what a deployer, on its thread, calls once the new deployment answers."""

        def moved(deployment: Deployment) -> None:
            work = self._move(deployment, force=force, reason=reason)
            _wait_for(loop, work)

        return moved

    async def _move(self, deployment: Deployment, *, force: bool, reason: str) -> None:
        """Promote the new file where streams run at Triton; the same file needs no promotion.

        An engine finds its file's newest deployment by itself when the old one is gone.
        """
        name, artefact_id = deployment.model, deployment.artefact_id
        batcher = self._pool.serving(name)
        if not self._serves(name) or batcher is None or artefact_id is None:
            return
        if batcher.spec.sha256 == deployment.sha256:
            return
        model = await asyncio.to_thread(self._store.models.model, name)
        before = await asyncio.to_thread(rollback_to, self._store, model)
        if (
            force
            and before is not None
            and (before[0].id, before[1].engine)
            == (
                artefact_id,
                ENGINE,
            )
        ):
            await self._serving.roll_back(name)
            return
        await self._serving.promote(name, artefact_id, engine=ENGINE, force=force, reason=reason)

    def _serves(self, model: str) -> bool:
        """Tell whether a model's streams run at Triton."""
        batcher = self._pool.serving(model)
        return batcher is not None and batcher.at_triton

    def _check(self) -> None:
        why_not = self._link.why_not_deploy
        if why_not is not None:
            raise NotPossibleError(why_not)

    def _check_idle(self, model: str) -> None:
        if self._serves(model):
            raise NotPossibleError(
                f"{model} serves here through Triton. Promote it to another engine first."
            )

    def _check_unused(self, name: str) -> None:
        """Refuse to unload what streams here run through; an older deployment's parts aren't."""
        part, deployments = part_of(name), self._link.deployments
        active = deployments.active(part[0]) if part is not None and deployments else None
        if part is None or active is None or active.number == part[1]:
            self._check_idle(model_of(name))

    def _check_deployed(self, model: str) -> None:
        deployments = self._link.deployments
        if deployments is None or not deployments.left_of(model):
            raise UnknownError(f"{model[:80]!r} isn't deployed at Triton.")

    def _check_known(self, name: str) -> None:
        if all(one.name != name for one in self._link.control.states()):
            raise UnknownError(f"Triton's repository has no model {name[:80]!r}.")


def _wait_for(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    """Run a promotion on the server's loop, from another thread, and wait for its end.

    It can't be cut short, and what serves here and at Triton must agree: an engine's own limit of
    loading ends it.
    """
    moving = asyncio.run_coroutine_threadsafe(work, loop)
    while not wait((moving,), MOVE_S).done:
        log.warning("the streams take long to move to the new deployment", seconds=MOVE_S)
    try:
        moving.result()
    except TimeoutError as error:
        raise DeployError("The streams couldn't move to the new deployment in time.") from error
    except CancelledError as error:
        raise DeployError("The server stops; the streams haven't moved.") from error
