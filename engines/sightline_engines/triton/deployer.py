"""Deploys a model at Triton beside what serves, swaps the two, and takes the swap back.

Nothing of what serves is touched before the new parts have answered. The stable names are
ensembles of one version each, the deployment's number; Triton swaps such a version atomically, and
what is under way ends on the old one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from sightline_engines.errors import DeployError, EngineAwayError, SightlineError
from sightline_engines.triton.config import read_config
from sightline_engines.triton.control import Control
from sightline_engines.triton.deployment import TENSORS, part_of
from sightline_engines.triton.parts import CONFIG_FILE, stable_configs
from sightline_engines.triton.probe import probe, probe_steps
from sightline_engines.triton.shared_folder import check_shared
from sightline_engines.triton.turn import TakenError, model_turn, turn_file
from sightline_engines.types import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

    from sightline_engines.triton.classifier import ClassifierSpec
    from sightline_engines.triton.client import Client
    from sightline_engines.triton.config import TritonConfig
    from sightline_engines.triton.deployment import Deployment
    from sightline_engines.triton.deployments import Deployments
    from sightline_engines.triton.repository import Repository

    Moved: TypeAlias = Callable[[Deployment], None]

TURN_S = 600.0  # how long another's change is waited for
UNDO_S = 20.0  # for each step back: a Triton that hangs is no reason to wait for long

log = logging.getLogger(__name__)


class Deployer:
    """Puts deployments into service; any thread and process may, one at a time per model."""

    def __init__(self, deployments: Deployments, control: Control, client: Client) -> None:
        self._deployments = deployments
        self._control = control
        self._client = client

    def deploy(  # noqa: PLR0913  what a deployment is made of
        self,
        source: ModelSpec | ClassifierSpec,
        config: TritonConfig,
        *,
        max_batch: int = 8,
        artefact_id: int | None = None,
        built_from: Path | None = None,
        moved: Moved | None = None,
    ) -> Deployment:
        """Serve a model under its name without losing a request; return the new deployment.

        `built_from` is the ONNX file of a TensorRT plan. `moved` is called when the new one
        answers and before the old one's parts go; what it raises undoes the swap. Raises
        DeployError or EngineAwayError; then what served before serves, and nothing is left of the
        new one.
        """
        self._check_there()
        check_shared(self._client, self._repository.folder)
        with model_turn(self._repository, source.name, TURN_S):
            before = self._deployments.active(source.name)
            made = self._deployments.prepare(
                source,
                config,
                max_batch=max_batch,
                artefact_id=artefact_id,
                built_from=built_from,
            )
            try:
                self._serve(made, before, moved)
            except BaseException:
                with suppress(SightlineError):
                    self._deployments.discard(made)
                    self._control.forget(made.parts)
                raise
            with suppress(SightlineError):  # files too many do no harm
                for one in self._deployments.prune(made.model):
                    self._control.forget(one.parts)
        return made

    def rollback(self, model: str, moved: Moved | None = None) -> Deployment:
        """Serve the deployment before the active one again; raises DeployError without one."""
        self._check_there()
        check_shared(self._client, self._repository.folder)
        with model_turn(self._repository, model, TURN_S):
            before = self._active(model)
            target = self._deployments.previous(model)
            if target is None:
                raise DeployError(
                    f"There is no deployment of '{model}' before number {before.number} to go "
                    "back to."
                )
            self._serve(target, before, moved)
        return target

    def remove(self, model: str) -> None:
        """Unload all of a model and delete its deployments.

        What Triton doesn't let go of is told by a warning, and gone when Triton is started anew.
        """
        with model_turn(self._repository, model, TURN_S):
            left = self._deployments.left_of(model)
            if not left:
                raise DeployError(f"'{model}' isn't deployed. Deploy it first.")
            self._check_there()
            self._try(partial(self._control.unload_all, (model, f"{model}{TENSORS}")))
            self._unload_parts(model, keep=())
            self._check_there()  # one that went away meanwhile has it all loaded by these files
            self._deployments.forget(model)
            self._control.forget((model, f"{model}{TENSORS}", *left))
            with suppress(OSError):  # an empty file too many does no harm
                turn_file(self._repository, model).unlink(missing_ok=True)

    def reload(self, model: str) -> Deployment:
        """Load the active deployment anew, dead Python processes too, and see that it answers."""
        with model_turn(self._repository, model, TURN_S):
            active = self._active(model)
            self._reload(active, active.stable)
        return active

    def mend(self, model: str) -> bool:
        """Do what `reload` does if it is needed; tell whether it was.

        Not where the deployment answers, where somebody unloaded some of it, or where it is being
        changed: that isn't waited for.
        """
        try:
            with model_turn(self._repository, model, 0.0):
                active = self._deployments.active(model)
                if active is None or self._answers(active):
                    return False
                if self._control.unloaded_on_purpose(*active.stable, *active.parts):
                    return False
                self._reload(active, active.stable)
        except TakenError:
            return False
        return True

    def load(self, name: str) -> None:
        """Load a model of Triton's repository; a deployed name with all that it needs.

        As its file says, anew if it is loaded. The deployment's other name stays as it is if
        somebody unloaded that.
        """
        model = model_of(name)
        with model_turn(self._repository, model, TURN_S):
            active = self._deployments.active(model)
            if active is None or name not in active.stable:
                self._control.load(name)
                return
            wanted = [n for n in active.stable if not self._control.unloaded_on_purpose(n)]
            self._reload(active, [n for n in active.stable if n == name or n in wanted])

    def unload(self, name: str, dependents: bool = True) -> None:
        """Unload a model, and keep in mind that somebody wanted it; as `Control.unload`."""
        with model_turn(self._repository, model_of(name), TURN_S):
            self._control.unload(name, dependents)

    @property
    def _repository(self) -> Repository:
        return self._deployments.repository

    def _serve(self, target: Deployment, before: Deployment | None, moved: Moved | None) -> None:
        """Load, try, switch, have others move, unload the old; undo it all where that fails."""
        switched = False
        try:
            self._load(target)
            switched = True
            self._point(target, target.stable)
            if moved is not None:
                moved(target)
        except BaseException:
            self._undo(target, before, switched)
            raise
        self._unload_parts(target.model, keep=target.parts)

    def _reload(self, active: Deployment, names: Sequence[str]) -> None:
        self._load(active)
        self._point(active, names)
        self._unload_parts(active.model, keep=active.parts)

    def _load(self, target: Deployment) -> None:
        """Load a deployment's parts and run a picture through them; the stable names stay."""
        network = read_config(self._repository.read(target.detector, CONFIG_FILE) or "")
        ensemble = read_config(stable_configs(target, network)[target.pictures])
        with ThreadPoolExecutor(len(target.parts), "triton load") as side_by_side:
            list(side_by_side.map(self._control.load, target.parts))
        found = probe_steps(self._client, ensemble)
        if not found.ok:
            raise DeployError(
                f"Deployment {target.number} of '{target.model}' loads and doesn't work: "
                f"{found.error} What served before serves on."
            )

    def _point(self, target: Deployment, names: Sequence[str]) -> None:
        """Have the stable names lead to a deployment, `names` at Triton, too, where they answer."""
        self._deployments.point(target)
        for name in names:
            self._control.load(name)
            self._control.wait_for(name, target.number)
            found = probe(self._client, name)
            if not found.ok:
                raise DeployError(f"'{name}' was switched and doesn't answer: {found.error}")

    def _answers(self, active: Deployment) -> bool:
        return all(
            self._control.serves(name, active.number) and probe(self._client, name).ok
            for name in active.stable
        )

    def _undo(self, failed: Deployment, before: Deployment | None, switched: bool) -> None:
        """Leave things as they were, as far as Triton lets us; files at least."""
        if switched and before is not None:
            if self._try(partial(self._deployments.point, before)):
                for name in before.stable:
                    self._try(partial(self._control.load, name, UNDO_S))
                    self._try(partial(self._control.wait_for, name, before.number, UNDO_S))
            elif not self._try(lambda: self._check_serves(before)):
                return  # the files can't be written: what is switched serves on
        elif switched:
            self._try(partial(self._control.unload_all, failed.stable, UNDO_S))
        self._try(partial(self._control.unload_all, failed.parts, UNDO_S))
        if before is None:
            self._try(lambda: self._deployments.forget(failed.model))

    def _check_serves(self, before: Deployment) -> None:
        if not all(self._control.serves(name, before.number) for name in before.stable):
            raise DeployError(f"'{before.model}' can't be switched back to {before.number}.")

    def _unload_parts(self, model: str, keep: Sequence[str]) -> None:
        """Unload what is left of a model's deployments, of a change that was killed, too.

        What is unloading already isn't waited for again: it may never end.
        """
        left: list[str] = []

        def look() -> None:
            states = (one for one in self._control.states() if one.state in ("READY", "LOADING"))
            names = {one.name for one in states if (p := part_of(one.name)) and p[0] == model}
            left.extend(sorted(names - set(keep)))

        if self._try(look):
            self._try(partial(self._control.unload_all, left))

    def _try(self, change: Callable[[], object]) -> bool:
        try:
            change()
        except SightlineError as error:
            log.warning("something of a deployment is left at Triton: %s", error)
            return False
        return True

    def _active(self, model: str) -> Deployment:
        active = self._deployments.active(model)
        if active is None:
            raise DeployError(f"'{model}' isn't deployed. Deploy it first.")
        return active

    def _check_there(self) -> None:
        """Raise EngineAwayError before any file is written."""
        if not self._client.live():
            raise EngineAwayError(f"Triton at {self._client.url} says that it isn't live.")


def model_of(name: str) -> str:
    """Return the model that a name at Triton is of, where it is a deployment's; else the name."""
    part = part_of(name)
    return part[0] if part is not None else name.removesuffix(TENSORS)
