"""Loads and unloads models at a Triton that runs, waits for it, and tells their states."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sightline_engines.errors import DeployError, EngineAwayError, EngineError
from sightline_engines.triton.config import read_config
from sightline_engines.triton.errors import ModelGoneError
from sightline_engines.triton.override import overridden
from sightline_engines.triton.parts import CONFIG_FILE
from sightline_engines.triton.probe import probe

if TYPE_CHECKING:
    from sightline_engines.triton.client import Client
    from sightline_engines.triton.repository import Repository

LOAD_S = 120.0  # a TensorRT plan of a large model takes this long on a slow disk
UNLOAD_S = 60.0  # a Python model's process is given time to leave
TRIED_S = 2.0  # for the inference that tells a dead process
LOADED = frozenset({"READY", "LOADING", "UNLOADING"})  # takes memory
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class ModelState:
    """A version of a model as Triton's index tells it."""

    name: str
    version: str  # empty: of a model that was never loaded
    state: str  # READY, UNAVAILABLE, LOADING, UNLOADING, or empty
    reason: str


class Control:
    """Changes what a Triton has loaded; any thread may call it, a model's changes come one by one.

    What somebody unloaded on purpose is noted in the repository until it is loaded again, so
    that nobody brings it back who only finds it gone.
    """

    def __init__(self, client: Client, repository: Repository | None = None) -> None:
        """`repository` is the folder that Triton reads, where it is shared with us."""
        self._client = client
        self._repository = repository
        self._locks: dict[str, threading.Lock] = {}

    def load(self, name: str, timeout_s: float = LOAD_S) -> None:
        """Load a model as its file says, anew if it is loaded, and wait until it is READY.

        An override that somebody sent with an earlier load ends with this one, and dead Python
        processes are replaced. Raises DeployError with Triton's reason, or EngineAwayError; where
        Triton has loaded the model before, it then serves on.
        """
        until_s = time.monotonic() + timeout_s
        with self._locked((name,)):
            self._note_unloaded(name, False)
            self._load(name, until_s)
            self._check_config(name)

    def unload(
        self,
        name: str,
        dependents: bool = True,
        timeout_s: float = UNLOAD_S,
        *,
        note: bool = True,
    ) -> None:
        """Unload a model, with what an ensemble is made of unless others need it; wait for it.

        What it has in hand is finished first. `note` keeps in mind that somebody wanted it. Raises
        DeployError where there is none or it isn't gone in time, or EngineAwayError.
        """
        if not self._of(name):
            raise DeployError(
                f"Triton knows no model '{name}'; `sightline triton status` lists all."
            )
        until_s = time.monotonic() + timeout_s
        steps = self._own_steps(name) if dependents else ()
        with self._locked((name, *steps)):
            self._unload((name,), until_s)
            if note:  # it is gone: before, there was nothing to keep in mind
                self._note_unloaded(name, True)
            self._unload(steps, until_s)

    def unload_all(self, names: Sequence[str], timeout_s: float = UNLOAD_S) -> None:
        """Unload models side by side, and nothing that they need; wait for all, note nothing."""
        with self._locked(names):
            self._unload(names, time.monotonic() + timeout_s)

    def states(self, timeout_s: float | None = None) -> tuple[ModelState, ...]:
        """Return the state of every version of every model in the repository."""
        return tuple(
            ModelState(one.name, one.version, one.state, one.reason)
            for one in self._client.index(timeout_s)
            if not one.name.startswith(".")  # what is being written, or kept for ourselves
        )

    def serves(self, name: str, version: int) -> bool:
        """Tell whether a model serves this version and no other."""
        states = {one.version: one.state for one in self._of(name) if one.state in LOADED}
        return states == {str(version): "READY"}

    def wait_for(self, name: str, version: int, timeout_s: float = UNLOAD_S) -> None:
        """Wait until a model serves this version and no other; raises DeployError."""
        what = f"{name} doesn't serve version {version} alone"
        self._wait(lambda: self.serves(name, version), time.monotonic() + timeout_s, what)

    def unloaded_on_purpose(self, *names: str) -> bool:
        """Tell whether the last change of any of these models through us was to unload it."""
        repository = self._repository
        return repository is not None and any(self._note(repository, n).exists() for n in names)

    def forget(self, names: Iterable[str]) -> None:
        """Forget that models were unloaded: they are gone for good."""
        for name in names:
            self._note_unloaded(name, False)

    @contextmanager
    def _locked(self, names: Iterable[str]) -> Iterator[None]:
        """Be the only one here that changes these models; sorted, so that no two wait in turn."""
        with ExitStack() as held:
            for name in sorted(set(names)):
                held.enter_context(self._locks.setdefault(name, threading.Lock()))
            yield

    def _load(self, name: str, until_s: float) -> None:
        self._touch(name)
        try:
            self._client.load(name, max(0.1, until_s - time.monotonic()))
        except EngineAwayError as error:
            if not self._client.live():
                raise
            raise DeployError(f"Triton doesn't load '{name}'. {error}") from error
        except EngineError as error:
            raise DeployError(f"Triton doesn't load '{name}'. {error}") from error
        self._wait(lambda: self._is_ready(name), until_s, f"{name} isn't READY")

    def _unload(self, names: Sequence[str], until_s: float) -> None:
        if not names:
            return
        for name in names:
            self._replace_dead(name, until_s)
        for name in names:
            self._client.unload(name, False, max(0.1, until_s - time.monotonic()))

        def gone() -> bool:
            return not any(one.state in LOADED and one.name in names for one in self.states())

        self._wait(gone, until_s, f"{' and '.join(names)} isn't unloaded")

    def _replace_dead(self, name: str, until_s: float) -> None:
        """Load a model anew whose Python process has died; its unloading would never end."""
        with suppress(ModelGoneError, DeployError):  # what can't be loaded is unloaded as it is
            config = self._client.config(name)
            if config.HasField("ensemble_scheduling"):  # its parts have the processes
                return
            if probe(self._client, name, TRIED_S).dead:
                self._load(name, until_s)

    def _of(self, name: str) -> list[ModelState]:
        return [one for one in self.states() if one.name == name]

    def _is_ready(self, name: str) -> bool:
        states = [one.state for one in self._of(name)]
        return "READY" in states and "LOADING" not in states

    def _wait(self, done: Callable[[], bool], until_s: float, what: str) -> None:
        while not done():
            if time.monotonic() > until_s:
                raise DeployError(
                    f"Triton's model {what} in time. Its log says what it is waiting for; a Python "
                    "model or a request that hangs is a common reason."
                )
            time.sleep(_POLL_S)

    def _own_steps(self, name: str) -> tuple[str, ...]:
        """Return an ensemble's parts that no other ensemble needs, last step first."""
        used = self._steps(name)
        if not used:
            return ()
        ready = {one.name for one in self.states() if one.state == "READY"} - {name}
        others = {step for other in ready for step in self._steps(other)}
        return tuple(step for step in reversed(used) if step in ready and step not in others)

    def _steps(self, name: str) -> tuple[str, ...]:
        with suppress(ModelGoneError):  # it isn't loaded
            config = self._client.config(name)
            steps = (step.model_name for step in config.ensemble_scheduling.step)
            return tuple(dict.fromkeys(steps))
        return ()

    def _touch(self, name: str) -> None:
        """Make Triton take the files for new.

        A later config alone ends an override and leaves a dead Python process; a later version's
        folder has the model made anew.
        """
        if self._repository is None:
            return
        folder = self._repository.folder_of(name)
        with suppress(OSError):  # another's files, which we may not change
            versions = [one for one in self._repository.folders(name) if one.isdecimal()]
            for path in (folder / CONFIG_FILE, *(folder / one for one in versions)):
                os.utime(path)

    def _check_config(self, name: str) -> None:
        """Raise DeployError where something else than the file's config is in force."""
        text = self._repository.read(name, CONFIG_FILE) if self._repository else None
        if text is None:
            return
        field = overridden(read_config(text), self._client.config(name))
        if field is not None:
            raise DeployError(
                f"Triton serves '{name}' with another {field} than its file says: somebody loaded "
                "it with a config of their own. Unload it, then load it again."
            )

    def _note_unloaded(self, name: str, unloaded: bool) -> None:
        if self._repository is None:
            return
        note = self._note(self._repository, name)
        with suppress(OSError):  # a repository that can only be read
            if unloaded:
                note.parent.mkdir(exist_ok=True)
                note.touch()
            else:
                note.unlink(missing_ok=True)

    def _note(self, repository: Repository, name: str) -> Path:
        folder: Path = repository.folder_of(name)
        return folder.with_name(f".{folder.name}.unloaded")
