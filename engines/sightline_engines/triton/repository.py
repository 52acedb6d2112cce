"""Triton's model repository on disk: folders that are there whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, TypeAlias

from sightline_engines.errors import SightlineError
from sightline_engines.triton.disk import new_folder, settle, taken, write
from sightline_engines.triton.turn import turn

Contents: TypeAlias = Mapping[str, bytes | str | Path]  # by path in the folder; a Path is copied

LOCK_S = 600.0  # a change that loads a model at Triton may hold the lock for that long
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
# Triton takes every folder here for a model, so what is none is a file, or soon gone.
_LOCK = ".sightline.lock"
_NUMBERS = ".sightline.json"  # the last number that each model's deployments were given
_INCOMING = ".incoming-"

log = logging.getLogger(__name__)


class RepositoryError(SightlineError):
    """A name or a folder that the model repository can't have."""

    code: ClassVar[str] = "bad_repository"


class Repository:
    """A model repository; what it writes can be read by Triton's user, whoever that is.

    Changes belong inside `with repository.locked()`; reading needs no lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def folder_of(self, name: str) -> Path:
        """Return a model's folder, there or not; raises RepositoryError for what leads out."""
        if not _NAME.fullmatch(name) or ".." in name:
            raise RepositoryError(
                f"{name[:140]!r} can't be a model's name in Triton's repository: letters, digits, "
                "'.', '_' and '-' are taken, 128 at most, the first a letter or digit, no '..'."
            )
        folder = self.folder / name
        self._check_inside(folder)
        return folder

    @contextmanager
    def staged(self, content: bytes | Path) -> Iterator[Path]:
        """Hold a file's copy in the repository for the length of a block, without its lock.

        `place` takes it over at once, however large it is.
        """
        made, handle = self._incoming(), -1
        try:
            try:
                made.touch(mode=0o600)
                handle = os.open(made, os.O_RDONLY)
                taken(handle)  # from here on nobody sweeps it
                write(made, content)
            except OSError as error:
                raise _failed(f"The model can't be copied to {self.folder}", error) from error
            yield made
        finally:
            if handle >= 0:
                os.close(handle)
            with suppress(OSError):
                made.unlink(missing_ok=True)

    def place(self, name: str, contents: Contents) -> Path:
        """Put a model's folder there, whole; raises RepositoryError where there is one.

        A Path that was staged here is moved, any other is copied.
        """
        folder = self.folder_of(name)
        made = self._incoming()
        try:
            if folder.exists():
                raise RepositoryError(f"The repository has a model '{name}' already.")
            made.mkdir(mode=0o700)
            for path, content in contents.items():
                if isinstance(content, Path) and content.parent == self.folder:
                    (made / path).parent.mkdir(parents=True, exist_ok=True)
                    content.rename(made / path)
                else:
                    write(made / path, content)
            settle(made)
            made.rename(folder)
            settle(self.folder, alone=True)
        except OSError as error:
            raise _failed(f"'{name}' can't be written to {self.folder}", error) from error
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return folder

    def put(self, name: str, file: str, content: bytes | str) -> None:
        """Write a file of a model's folder, in place of an older one; it is there whole or not."""
        target = self.folder_of(name) / file
        made = self._incoming()
        try:
            self._check_inside(target.parent)
            new_folder(target.parent, self._incoming())
            target.parent.chmod(0o755)
            write(made, content)
            made.chmod(0o644)
            made.replace(target)
            settle(target.parent, alone=True)
        except OSError as error:
            with suppress(OSError):
                made.unlink(missing_ok=True)
            raise _failed(f"{file} of '{name}' can't be written", error) from error

    def read(self, name: str, file: str) -> str | None:
        """Return the text of a model's file, None where there is none."""
        try:
            return (self.folder_of(name) / file).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise _failed(f"{file} of '{name}' can't be read", error) from error

    def remove(self, name: str, within: str = "") -> None:
        """Remove a model's folder, or a folder within it, if there is one.

        Needs no room on the disk. At once: no half of it is ever loaded.
        """
        folder = self.folder_of(name) / within
        self._check_inside(folder)
        gone = self._incoming()
        try:
            folder.rename(gone)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise _failed(f"'{name}' can't be removed", error) from error
        self._sweep(gone)

    def names(self) -> tuple[str, ...]:
        """Return the models that have a folder, sorted; what leads out of here is none."""
        try:
            found = [one.name for one in os.scandir(self.folder) if _is_folder(one)]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise _failed(f"{self.folder} can't be read", error) from error
        return tuple(sorted(name for name in found if self._is_own(name)))

    def folders(self, name: str) -> tuple[str, ...]:
        """Return the folders within a model's folder, sorted: its versions among them."""
        try:
            return tuple(
                sorted(one.name for one in os.scandir(self.folder_of(name)) if _is_folder(one))
            )
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise _failed(f"'{name}' can't be read", error) from error

    def next_number(self, model: str, above: int = 0) -> int:
        """Return a number that no deployment of a model had, nor is `above` or less."""
        self.folder_of(model)
        kept = self.folder / _NUMBERS
        try:
            last = {str(name): int(n) for name, n in json.loads(kept.read_text("utf-8")).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            last = {}  # who asks knows the highest of what is still there
        last[model] = max(last.get(model, 0), above) + 1
        part = self._incoming()
        try:
            write(part, json.dumps(last, indent=2) + "\n")
            part.replace(kept)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise _failed(f"{kept} can't be written", error) from error
        return last[model]

    @contextmanager
    def locked(self, timeout_s: float = LOCK_S) -> Iterator[None]:
        """Be the only one that changes the repository, among all threads and processes.

        Not reentrant. What a change that was killed left half-made is removed first. Raises
        DeployError where others keep it for longer than `timeout_s`.
        """
        folder = self._made()
        with turn(folder / _LOCK, f"Triton's repository {folder}", timeout_s):
            for left in folder.glob(f"{_INCOMING}*"):
                self._sweep(left)
            yield

    def _sweep(self, left: Path) -> None:
        """Remove what is no model any more, or never was, unless somebody is at work on it."""
        try:
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
                return
            with left.open("rb") as file:
                if taken(file.fileno()):
                    left.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning(
                "%s is left of a change of Triton's repository and can't be removed: %s. Remove "
                "it by hand.",
                *(left, error.strerror or error),
            )

    def _incoming(self) -> Path:
        """Return a path for what is no model yet, or no more."""
        return self._made() / f"{_INCOMING}{secrets.token_hex(8)}"

    def _made(self) -> Path:
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            new_folder(self.folder, self.folder.with_name(f"{_INCOMING}{secrets.token_hex(8)}"))
        except OSError as error:
            raise _failed(f"Triton's repository {self.folder} can't be written", error) from error
        return self.folder

    def _is_own(self, name: str) -> bool:
        try:
            self.folder_of(name)
        except RepositoryError:
            return False
        return True

    def _check_inside(self, path: Path) -> None:
        try:
            inside = path.resolve().is_relative_to(self.folder.resolve())
        except (OSError, RuntimeError):  # a link that leads to itself
            inside = False
        if not inside:
            raise RepositoryError(
                f"{path} leads out of Triton's repository by a link, or nowhere. Remove the link."
            )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself, a folder that we may not see
        return False


def _failed(what: str, error: Exception) -> RepositoryError:
    said = getattr(error, "strerror", None) or error
    return RepositoryError(f"{what}: {said}. Check its place, its rights and the disk.")
