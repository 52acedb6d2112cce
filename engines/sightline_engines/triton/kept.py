"""What a repository holds of a model's deployments, as its files tell; nothing is changed here."""

from __future__ import annotations

import json

from sightline_engines.triton.config import read_config
from sightline_engines.triton.deployment import KINDS, STEPS, TENSORS, Deployment, part_of
from sightline_engines.triton.parts import CONFIG_FILE, DEPLOYMENT_FILE
from sightline_engines.triton.read_config import parameters_of
from sightline_engines.triton.repository import Repository, RepositoryError


class KeptDeployments:
    """The deployments whose files are kept: those that can be used, and all that is there."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def read(self, model: str, number: int) -> Deployment | None:
        """Return a deployment that is whole; None: it is gone, damaged, or not to be read."""
        found = self._parsed(model, number)
        try:
            whole = found is not None and all(
                self.repository.folder_of(name).is_dir() for name in found.parts
            )
        except (RepositoryError, OSError):  # a link that leads out, a folder that we may not see
            return None
        return found if whole else None

    def unreadable(self, model: str, number: int) -> bool:
        """Tell whether a deployment is described by a file that can't be read."""
        described = any(self._described(f"{model}__{number}__{kind}") for kind in KINDS)
        return described and self._parsed(model, number) is None

    def all(self, model: str | None = None) -> tuple[Deployment, ...]:
        """Return the deployments that can be used, by model, the newest first."""
        found = {
            part[:2]
            for part in map(part_of, self.repository.names())
            if part is not None and model in (None, part[0])
        }
        read = [self.read(*one) for one in sorted(found, key=lambda one: (one[0], -one[1]))]
        return tuple(one for one in read if one is not None)

    def numbers(self, model: str) -> frozenset[int]:
        """Return the numbers that nobody may clear away: a deployment's, readable or not.

        Those that a stable name leads to are among them, whatever is left of their files.
        """
        found = {
            part[1]
            for name in self.repository.names()
            if (part := part_of(name)) is not None and part[0] == model and self._described(name)
        }
        pointed = {self.pointed(model), self.pointed(model, f"{model}{TENSORS}")}
        return frozenset(found | {number for number in pointed if number is not None})

    def names(self, model: str) -> tuple[str, ...]:
        """Return a model's folders in the order to remove them: what serves by goes last."""
        numbered = [(part, name) for name in self.repository.names() if (part := part_of(name))]
        serving = self.pointed(model)
        parts = sorted(
            # A network without steps is no deployment any more; steps without one never were.
            (number == serving, number, (kind not in STEPS) == (number == serving), name)
            for (of, number, kind), name in numbered
            if of == model
        )
        stable = [name for name in (f"{model}{TENSORS}", model) if self.is_ours(name, model)]
        return (*stable[:-1], *(name for *_, name in parts), *stable[-1:])

    def pointed(self, model: str, name: str | None = None) -> int | None:
        """Return the number that a stable name, by default the pictures', leads to."""
        told = self._told(name or model)
        number = told.get("sightline_number", "")
        return int(number) if told.get("sightline_model") == model and number.isdecimal() else None

    def is_ours(self, name: str, model: str) -> bool:
        """Tell whether there is a folder under a model's stable name, made by us."""
        return self._told(name).get("sightline_model") == model

    def _parsed(self, model: str, number: int) -> Deployment | None:
        try:
            texts = [
                self.repository.read(f"{model}__{number}__{kind}", DEPLOYMENT_FILE)
                for kind in KINDS
            ]
            text = next(text for text in texts if text is not None)
            found = Deployment.from_dict(json.loads(text))
        except (RepositoryError, StopIteration, ValueError, KeyError, TypeError, AttributeError):
            return None
        return found if (found.model, found.number) == (model, number) else None

    def _described(self, name: str) -> bool:
        try:
            return self.repository.read(name, DEPLOYMENT_FILE) is not None
        except RepositoryError:  # there, and can't be read
            return True

    def _told(self, name: str) -> dict[str, str]:
        try:
            text = self.repository.read(name, CONFIG_FILE)
            return {} if text is None else parameters_of(read_config(text))
        except (RepositoryError, ValueError):
            return {}
