"""A model's config while settings are tried in it, and its way back, whatever happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sightline_engines.errors import ProviderError, SightlineError
from sightline_engines.triton.bench.setting import apply, setting_of
from sightline_engines.triton.config import config_text, read_config
from sightline_engines.triton.control import Control
from sightline_engines.triton.disk import taken
from sightline_engines.triton.parts import CONFIG_FILE, DEPLOYMENT_FILE
from sightline_engines.triton.repository import Repository

BEFORE_FILE = "config.pbtxt.before-sweep"  # what a sweep that is killed leaves behind


class ReplacedError(ProviderError):
    """The model that is tried was removed, or another deployment serves in its place."""


class Trial:
    """Changes a model's config and has Triton load it; at the end of `held` all is as it was.

    `serves` tells whether the model is still the one to load.
    """

    def __init__(
        self, repository: Repository, control: Control, name: str, serves: Callable[[], bool]
    ) -> None:
        self._repository = repository
        self._control = control
        self._name = name
        self._serves = serves
        self._old = self._written = ""
        self._loaded: str | None = None  # what Triton had at first nobody knows
        self.kept = False
        self.recovered = False  # whether an earlier one had been killed

    @contextmanager
    def held(self) -> Iterator[str]:
        """Give the config as it was, and put that back at the end unless another was kept.

        What an earlier trial left that was killed is put back first. Raises ProviderError where
        there is no config, or another trial is under way.
        """
        handle = self._begin()
        try:
            yield self._old
        finally:
            try:
                if not self.kept:
                    self._restore()
            finally:
                os.close(handle)  # and with it the lock: who comes next may put it back

    def put(self, text: str) -> None:
        """Write a config and have Triton load the model with it, the first time in any case.

        Somebody may have loaded it with a config that no file has.
        """
        if text == self._loaded:
            return
        self._loaded = None
        self.check()
        if text != self._written:
            self._written = text
            self._write(CONFIG_FILE, text)
        self._control.load(self._name)
        self._loaded = text

    def check(self) -> None:
        """Raise ReplacedError where the model isn't there any more, or not in force."""
        if not self._serves():
            raise ReplacedError(
                f"{self._name} was removed, or deployed anew, meanwhile. Run the sweep again."
            )

    def keep(self, text: str, deployment: str | None) -> None:
        """Leave a config in force, and have our own description of a deployment say the same."""
        self.put(text)
        if deployment is not None:
            self._write(DEPLOYMENT_FILE, deployment)
        self._forget_before()
        self.kept = True

    def _begin(self) -> int:
        """Note the config beside itself; return the note, open and locked."""
        folder = self._repository.folder_of(self._name)
        with self._repository.locked():
            present = self._repository.read(self._name, CONFIG_FILE)
            if present is None:
                raise ProviderError(
                    f"{self._repository.folder} has no {self._name}/{CONFIG_FILE}. Name the folder "
                    "that this Triton was given as --model-repository, and a model in it."
                )
            left = self._repository.read(self._name, BEFORE_FILE)
            if left is not None:
                self._check_abandoned()
                self.recovered = present != left and _is_trial(present, left, self._name)
            self._old = left if self.recovered and left is not None else present
            self._repository.put(self._name, BEFORE_FILE, self._old)
            handle = os.open(folder / BEFORE_FILE, os.O_RDONLY)
            taken(handle)
            if self.recovered:
                self._repository.put(self._name, CONFIG_FILE, self._old)
        self._written = self._old
        return handle

    def _check_abandoned(self) -> None:
        """Raise ProviderError where the one that left a note still lives."""
        handle = os.open(self._repository.folder_of(self._name) / BEFORE_FILE, os.O_RDONLY)
        try:
            if not taken(handle):
                raise ProviderError(
                    f"Another sweep tries settings of {self._name}. Wait until it is done."
                )
        finally:
            os.close(handle)

    def _restore(self) -> None:
        if not self._put_back():
            return
        try:
            if self._loaded != self._old and self._serves():
                self._control.load(self._name)
        except SightlineError as error:
            if not self._serves():  # it went as it was loaded
                return
            raise type(error)(
                f"{self._name}'s config is as it was again, but Triton didn't load it: "
                f"{error.message}"
            ) from error
        self._loaded = self._old

    def _put_back(self) -> bool:
        """Write the old config, first, so that a server that starts anew has it.

        Returns False where nothing was written, or the model was removed and stays so.
        """
        with self._repository.locked():
            if not self._repository.folder_of(self._name).is_dir():
                return False
            changed = self._written != self._old or self.recovered
            if self._written != self._old:
                self._repository.put(self._name, CONFIG_FILE, self._old)
            self._written = self._old
            self._repository.remove(self._name, BEFORE_FILE)
        return changed

    def _forget_before(self) -> None:
        with self._repository.locked(), suppress(SightlineError):
            self._repository.remove(self._name, BEFORE_FILE)

    def _write(self, file: str, text: str) -> None:
        with self._repository.locked():
            self.check()  # again: nobody removes it from here on
            self._repository.put(self._name, file, text)


def _is_trial(present: str, before: str, name: str) -> bool:
    """Tell whether a config is as a trial writes it, and not one that somebody changed since."""
    try:
        tried = setting_of(read_config(present))
        return present == config_text(apply(read_config(before), tried, name))
    except (ValueError, ProviderError):
        return False
