"""Numbered deployments in a model repository: made, pointed at, kept and removed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from sightline_engines.errors import DeployError
from sightline_engines.triton.config import TritonConfig, read_config
from sightline_engines.triton.config_checks import MOST_BATCH
from sightline_engines.triton.deployment import TENSORS, Deployment, check_model_name, part_of
from sightline_engines.triton.kept import KeptDeployments
from sightline_engines.triton.network import Network
from sightline_engines.triton.parts import CONFIG_FILE, DEPLOYMENT_FILE, parts, stable_configs
from sightline_engines.triton.repository import Repository
from sightline_engines.triton.source import (
    Source,
    check_copy,
    checked_digest,
    network_of,
    seen_digest,
)
from sightline_engines.types import ModelSpec

KEPT = 3  # deployments of a model whose files stay, for rolling back


class Deployments:
    """The deployments of a repository; files alone, Triton is told by others.

    Safe between threads and processes; a kill at any point leaves what was active active. What
    can't be read, of a newer Sightline say, is left alone.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._kept = KeptDeployments(repository)

    def prepare(
        self,
        source: Source,
        config: TritonConfig,
        *,
        max_batch: int = 8,
        artefact_id: int | None = None,
        built_from: Path | None = None,
    ) -> Deployment:
        """Write a new deployment's parts; nothing points at it yet.

        `built_from` is the ONNX file that a TensorRT plan was built from, which names its tensors;
        None looks for it near the plan. Raises DeployError where Triton can't take the source,
        RepositoryError where it can't be written.
        """
        self._check_asked(source.name, config, max_batch)
        before = seen_digest(source)
        network, config = network_of(source, config, max_batch, built_from)
        digest = checked_digest(source, before)
        with self.repository.staged(network.content) as copy:
            check_copy(source, digest, copy)
            network = replace(network, content=copy)
            return self._placed(source, config, network, digest, artefact_id)

    def point(self, deployment: Deployment) -> None:
        """Have the stable names' files lead to a deployment; raises DeployError if it is gone."""
        with self.repository.locked():
            self._point(deployment)

    def active(self, model: str) -> Deployment | None:
        """Return the deployment that a model's stable name leads to, if it is whole."""
        number = self._kept.pointed(model)
        return None if number is None else self._kept.read(model, number)

    def previous(self, model: str) -> Deployment | None:
        """Return what a rollback leads to, None for nothing that is kept.

        What the active one took the place of, or the newest kept one before that: never one that
        was rolled back itself.
        """
        number, active = self._kept.pointed(model), self.active(model)
        kept = self.all(model)
        if number is None:
            return next(iter(kept), None)
        replaced = active.replaces if active is not None else None
        newest = number - 1 if replaced is None else replaced
        return next((one for one in kept if one.number <= newest), None)

    def all(self, model: str | None = None) -> tuple[Deployment, ...]:
        """Return the deployments that are kept, by model, the newest first."""
        return self._kept.all(model)

    def left_of(self, model: str) -> tuple[str, ...]:
        """Return all folders of a model, also of what is damaged, or half removed."""
        return self._kept.names(model)

    def discard(self, deployment: Deployment) -> None:
        """Remove a deployment's files; raises DeployError for one that a stable name leads to."""
        with self.repository.locked():
            self._discard(deployment)

    def forget(self, model: str) -> None:
        """Remove a model's stable names and all its deployments; its numbers go on.

        It may be called again where it was killed half-way.
        """
        check_model_name(model)
        with self.repository.locked():
            self._check_own(model)
            for name in self._kept.names(model):
                self.repository.remove(name)

    def prune(self, model: str, keep: int = KEPT) -> tuple[Deployment, ...]:
        """Remove all but the newest `keep`, the active one and what a rollback leads to.

        Returns those removed.
        """
        with self.repository.locked():
            back = self.previous(model)
            spared = {self._kept.pointed(model), None if back is None else back.number}
            old = [one for one in self.all(model)[keep:] if one.number not in spared]
            for one in old:
                self._discard(one)
        return tuple(old)

    def _placed(
        self,
        source: Source,
        config: TritonConfig,
        network: Network,
        digest: str,
        artefact_id: int | None,
    ) -> Deployment:
        with self.repository.locked():
            self._check_own(source.name)
            self._check_readable(source.name)
            self._tidy(source.name)
            deployment = Deployment(
                model=source.name,
                number=self.repository.next_number(source.name, self._highest(source.name)),
                kind="detector" if isinstance(source, ModelSpec) else "classifier",
                sha256=digest,
                artefact_id=artefact_id,
                version=source.version,
                format=source.format.value,
                precision=source.precision,
                platform=config.platform,
                config=config,
                max_batch=network.max_batch,
                created_at=time.time(),
                replaces=self._kept.pointed(source.name),
            )
            self._write(deployment, source, network)
        return deployment

    def _write(self, deployment: Deployment, source: Source, network: Network) -> None:
        try:
            for name, contents in parts(deployment, source, network).items():
                self.repository.place(name, contents)
        except BaseException as error:
            for name in deployment.parts:
                self.repository.remove(name)
            if isinstance(error, ValueError):
                raise DeployError(str(error)) from error
            raise

    def _point(self, deployment: Deployment) -> None:
        model, number = deployment.model, deployment.number
        self._check_own(model)
        if self._kept.read(model, number) is None:
            raise DeployError(f"Deployment {number} of '{model}' is gone. Deploy the model again.")
        network = read_config(self.repository.read(deployment.detector, CONFIG_FILE) or "")
        for name, text in stable_configs(deployment, network).items():
            version = f"{number}/.keep"  # an ensemble's version is an empty folder
            if (self.repository.folder / name).exists():
                self.repository.put(name, version, "")
                self.repository.put(name, CONFIG_FILE, text)
            else:
                self.repository.place(name, {CONFIG_FILE: text, version: ""})

    def _discard(self, deployment: Deployment) -> None:
        model, number = deployment.model, deployment.number
        if number in (self._kept.pointed(model), self._kept.pointed(model, deployment.tensors)):
            self._tidy(model)  # a kill may have left one name of two switched
        if self._kept.pointed(model) == number:
            raise DeployError(
                f"Deployment {number} of '{model}' serves and can't be removed. Deploy another or "
                "roll back first."
            )
        self.repository.remove(deployment.detector)  # from here on it is no deployment any more
        self._tidy(model)

    def _tidy(self, model: str) -> None:
        """Remove what a change that was killed, or a deployment that is gone, left of a model."""
        active, tensors = self._kept.pointed(model), f"{model}{TENSORS}"
        if self._kept.pointed(model, tensors) != active:
            serving = None if active is None else self._kept.read(model, active)
            if serving is not None:
                self._point(serving)
            elif active is None and self._kept.is_ours(tensors, model):
                self.repository.remove(tensors)
        numbers = self._kept.numbers(model)
        for name in self.repository.names():
            part = part_of(name)
            if part is not None and part[0] == model and part[1] not in numbers:
                self.repository.remove(name)
        for name in (model, tensors):
            for version in self.repository.folders(name):
                if version.isdecimal() and int(version) not in numbers:
                    self.repository.remove(name, version)

    def _highest(self, model: str) -> int:
        found = [part for part in map(part_of, self.repository.names()) if part is not None]
        return max((number for name, number, _ in found if name == model), default=0)

    def _check_asked(self, name: str, config: TritonConfig, max_batch: int) -> None:
        check_model_name(name)
        self.repository.folder_of(name)
        if not 1 <= max_batch <= MOST_BATCH:
            raise DeployError(f"max_batch must be from 1 to {MOST_BATCH}, not {max_batch}.")
        if isinstance(config.versions, tuple) and 1 not in config.versions:
            raise DeployError(
                "versions names none that a deployment has: each of its parts has version 1 "
                "alone, and the number of the deployment tells them apart. Leave it out."
            )

    def _check_own(self, model: str) -> None:
        """Refuse to touch what somebody else put under a stable name; raises DeployError."""
        for name in (model, f"{model}{TENSORS}"):
            there = self.repository.folder_of(name).exists()
            if there and not self._kept.is_ours(name, model):
                raise DeployError(
                    f"Triton's repository has a model '{name}' that Sightline didn't make. Rename "
                    "yours, or move that folder away."
                )

    def _check_readable(self, model: str) -> None:
        """Refuse to swap what can't be brought back if that fails; raises DeployError."""
        number = self._kept.pointed(model)
        if number is not None and self._kept.unreadable(model, number):
            raise DeployError(
                f"Deployment {number} of '{model}' serves, and its {DEPLOYMENT_FILE} can't be "
                "read: it is damaged, or of another version of Sightline. Deploy with that "
                f"version, or remove '{model}' from Triton and deploy it anew."
            )
